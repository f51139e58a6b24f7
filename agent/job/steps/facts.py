"""Facts that only the machine knows, as the contexts of a set of conventions have it (`Conventions.contexts`)."""

import os
import sys
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from agent.job.steps.parts import StepAction
from agent.job.steps.state import RunningJob
from agent.spec.conventions import Conventions, Fact, find_conventions


class AboutStep(NamedTuple):
    """A step, as far as a context tells of it."""

    id: str
    name: str
    uses: str = ""
    action: StepAction | None = None


_NOBODY: Final = AboutStep("", "")


def find_words(job: RunningJob, action: StepAction | None) -> Conventions:
    """The conventions under which a step's processes run: its action's own, else the job's."""
    if action is None:
        return job.conventions
    return find_conventions(action.manifest.conventions or job.conventions.actions) or job.conventions


def bring_facts(job: RunningJob, words: Conventions, about: AboutStep | None = None) -> dict[str, object]:
    """The contexts that the machine adds to, each whole: what the flow's language brings of it comes first."""
    return {
        name: {**job.spec.context(name), **_read(job, members, about)}
        for name, members in words.contexts.items()
    }


def _read(job: RunningJob, members: Mapping[str, Fact], about: AboutStep | None) -> dict[str, object]:
    """Of what is a step's alone there is nothing where no step is meant."""
    return {
        name: _FACTS[fact](job, about or _NOBODY)
        for name, fact in members.items()
        if about is not None or fact not in _OF_STEPS
    }


def _name_python() -> str:
    import platform  # it takes its time, and few ask

    return platform.python_implementation()


def _name_ref(about: AboutStep) -> str:
    return about.uses.rpartition("@")[2] if "@" in about.uses else ""


_OF_STEPS: Final = frozenset(fact for fact in Fact if fact.name.startswith(("STEP_", "ACTION_")))
_FACTS: Final[Mapping[Fact, Callable[[RunningJob, AboutStep], object]]] = {
    Fact.AGENT_ID: lambda job, _: job.settings.agent_id or job.settings.agent_name,
    Fact.AGENT_NAME: lambda job, _: job.settings.agent_name,
    Fact.AGENT_FOLDER: lambda job, _: str(job.settings.work_folder),
    Fact.FETCHED_FOLDER: lambda job, _: job.show_path(job.places.action_copies),
    Fact.LOGS_FOLDER: lambda job, _: str(job.folder.journal.parent),
    Fact.TEMP_FOLDER: lambda job, _: job.show_path(job.places.temp),
    Fact.JOB_ID: lambda job, _: str(job.spec.job),
    Fact.JOB_NAME: lambda job, _: job.spec.name,
    Fact.WORKSPACE: lambda job, _: job.show_path(job.places.workspace),
    Fact.HOST_NAME: lambda _job, _: os.uname().nodename,
    Fact.SYSTEM: lambda _job, _: os.uname().sysname,
    Fact.SYSTEM_VERSION: lambda _job, _: os.uname().version,
    Fact.PYTHON_VERSION: lambda _job, _: ".".join(map(str, sys.version_info[:3])),
    Fact.PYTHON_IMPLEMENTATION: lambda _job, _: _name_python(),
    Fact.STEP_ID: lambda _job, about: about.id,
    Fact.STEP_NAME: lambda _job, about: about.name,
    Fact.ACTION_NAME: lambda _job, about: about.action.manifest.name if about.action else "",
    Fact.ACTION_REF: lambda _job, about: _name_ref(about),
    Fact.ACTION_FOLDER: lambda job, about: job.show_path(about.action.folder) if about.action else "",
    Fact.ACTION_DESCRIPTION: lambda _job, about: about.action.manifest.description if about.action else "",
}
