"""The room's parts: what becomes of runs, and how they are looked at."""

from dataclasses import dataclass

from agent.server.events.changes import Changes
from agent.server.runs.approval_reading import ApprovalReading
from agent.server.runs.approvals import Approvals
from agent.server.runs.environments import Environments
from agent.server.runs.forms import Forms
from agent.server.runs.job_reading import JobReading
from agent.server.runs.run_events import RunEvents
from agent.server.runs.run_reading import RunReading
from agent.server.runs.runs import Runs


@dataclass(frozen=True, slots=True)
class RunRoom:
    """Runs are begun, cancelled and tried again by `runs`; what waits for somebody's word goes on by `approvals`."""

    runs: Runs
    approvals: Approvals
    environments: Environments
    forms: Forms
    reading: RunReading
    jobs: JobReading
    events: RunEvents
    words: ApprovalReading


def make_run_room(changes: Changes, runs: Runs) -> RunRoom:
    """The room over `runs`."""
    database = changes.database
    return RunRoom(
        runs=runs,
        approvals=Approvals(changes, runs),
        environments=Environments(changes),
        forms=Forms(changes),
        reading=RunReading(database, runs, changes.clock),
        jobs=JobReading(database),
        events=RunEvents(database),
        words=ApprovalReading(database, runs),
    )
