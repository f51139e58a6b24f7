"""Warming up for flows, in a process that forks their supervisors: import, and touch. See agent.job.launch.warming."""

import asyncio

import agent.job.stages.shell.job  # noqa: F401
from agent import codec
from agent.ids import JobId, RunId
from agent.job.stages.actions.table import find_make
from agent.job.stages.clients import warm_up_clients
from agent.spec.job import JobSpec
from agent.spec.stages import StageSpec, StagesWork

# Most flows have some of these, and they need no library but ours: those of brokers and databases take as much again.
_COMMON = (
    "cron",
    "error",
    "field_map",
    "filter",
    "json_decode",
    "manual",
    "map",
    "noop",
    "python",
    "receive",
    "run",
    "send",
    "slack",
    "udp",
)


def warm_up() -> None:
    """Load all that a flow of common stages needs."""
    for action in _COMMON:
        find_make(action)
    work = StagesWork((StageSpec("in", "receive", {"path": "/"}),))
    codec.parse(JobSpec, codec.dump(JobSpec(RunId(1), JobId("job"), "job", "job", work)))
    asyncio.run(warm_up_clients())
