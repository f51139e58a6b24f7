"""Warming up, before a process forks supervisors, so that none of them has to do it again: import, and touch.

All of it at once would be too much for an agent that never has a job: `warm_up` is for the start, the rest for later.
"""

import asyncio
import concurrent.futures.thread  # noqa: F401 - of asyncio.to_thread
import ctypes
import gc
import pwd  # noqa: F401
from functools import cache
from pathlib import Path

import agent.job.supervisor.process  # noqa: F401
from agent import codec
from agent.flow.expressions import evaluate
from agent.ids import JobId, RunId
from agent.job.folder.attempt import JobFolder
from agent.job.folder.settings import JobSettings
from agent.job.steps.places import choose_places
from agent.journal.format import Closed, Opened, StepChanged, encode
from agent.spec.job import JobSpec, SpecStepKind, StepSpec, StepsWork
from agent.spec.outcome import Conclusion, JobResult


def warm_up() -> None:
    """Load what every job needs, before there is one."""
    ctypes.CDLL(None)
    evaluate("success()", {}, {"success": lambda: True})
    asyncio.new_event_loop().close()
    _rehearse()
    _freeze()


@cache
def warm_up_unsealing() -> None:
    """Load what opens secrets, when the first job that has some is about to be forked: 9 MB, and some 30 ms."""
    import agent.seal.secrets

    agent.seal.secrets.warm_up()
    _freeze()


@cache
def warm_up_stages() -> None:
    """Load what flows need, when the first job whose work is stages is about to be forked: 16 MB, and some 300 ms.

    Flows are many and idle: each would have that much of its own. What few of them use (drivers of databases, brokers) is not among it.
    """
    from agent.job.stages.shell import warming

    warming.warm_up()
    _freeze()


@cache
def warm_up_actions() -> None:
    """Load what jobs with actions need, when the first job of any kind has been forked: 3 MB, and some 50 ms."""
    import yaml  # noqa: F401

    import agent.job.containers.lifecycle
    import agent.job.handlers.composite
    import agent.job.handlers.program
    import agent.job.runtimes.interpreters
    import agent.resolve  # noqa: F401

    _freeze()


def _rehearse() -> None:
    """Make what is made when it is first used: readers and writers of our records, patterns."""
    step = StepSpec(SpecStepKind.RUN, "step", run="true")
    spec = JobSpec(RunId(1), JobId("job"), "job", "job", StepsWork((step,)))
    codec.parse(JobSpec, codec.dump(spec))
    settings = codec.parse(JobSettings, codec.dump(JobSettings(Path("/"))))
    choose_places(JobFolder(Path("/job-1"), "job", 1), spec, settings)
    encode(Opened("job", 1, 0, {}))
    encode(StepChanged(0, "step", "step", "completed", 0, outcome=Conclusion.SUCCESS))
    encode(Closed(0, JobResult(Conclusion.SUCCESS)))


def _freeze() -> None:
    """What is there by now stays: a collection in a fork would only copy its pages."""
    gc.collect()
    gc.freeze()
