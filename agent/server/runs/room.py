"""The room's parts: what becomes of runs."""

from dataclasses import dataclass

from agent.server.runs.approvals import Approvals
from agent.server.runs.runs import Runs


@dataclass(frozen=True, slots=True)
class RunRoom:
    """Runs are begun, cancelled and tried again by `runs`; what waits for somebody's word goes on by `approvals`."""

    runs: Runs
    approvals: Approvals
