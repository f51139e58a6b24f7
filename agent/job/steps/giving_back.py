"""The room of a job that waits for a person: given back while nothing of it runs, and taken again with the answer.

What is taken back can be a step's that nobody has ended, or of a container that has it until its end: then nothing is given
back. Meanwhile the job's variables name no GPU, so that whatever runs of it (after a cancel) leaves others' alone.
"""

import os
from collections.abc import Mapping
from dataclasses import replace

from agent.job.process.proc import list_descendants
from agent.job.steps.people import HeardAnswer
from agent.job.steps.state import RunningJob
from agent.spec.room import NO_GPUS

_GPU_VARIABLES = frozenset(NO_GPUS)


def find_hindrance(job: RunningJob) -> str:
    """Why the job can't give its room back now; empty when it can."""
    if job.spec.nodes > 1:
        return "it runs on several machines"
    if job.has_background():
        return "a step runs in the background"
    if job.containers.container or job.containers.services:
        return "its containers have it"
    if list_descendants(os.getpid()):
        return "processes of earlier steps still run"
    return ""


def give_back(job: RunningJob) -> None:
    """From now on nothing of the machine is the job's own."""
    job.held_settings = job.settings
    given = job.settings.given
    hidden: Mapping[str, str] = NO_GPUS if "AGENT_GPUS" in given or job.settings.gpus else {}
    job.settings = replace(job.settings, gpus=(), given={**given, **hidden})


def take_again(job: RunningJob, answer: HeardAnswer) -> None:
    """What comes with the answer is the job's; what it had, when nobody says."""
    held, job.held_settings = job.held_settings, None
    assert held is not None
    if answer.gpus is None:
        job.settings = held
        return
    kept = {name: value for name, value in held.given.items() if name not in _GPU_VARIABLES}
    job.settings = replace(held, gpus=answer.gpus, given={**kept, **answer.given})
