"""Places of results: a folder of this machine's for local runs, the server for its jobs.

A supervisor talks to no network: a small program asks the server, as a process of the step, with the job's token.
"""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from agent.config import bundled
from agent.job.commands.effects import Effects
from agent.job.process.hosts import MachineHost
from agent.job.steps.steprun import StepRun

MOST_RESULT_BYTES = 64 << 10  # of outputs, as JSON: they travel in a process's environment
_MOST_FILES = 5000
_LONGEST_NAME = 200


class FoundResult(NamedTuple):
    """What an equal run of the action gave; `of` says which."""

    outputs: Mapping[str, Any]  # as the step gave them
    of: str


class ResultPlace(Protocol):
    """Finds and keeps. Both may be done again; what can't be had or kept is no error of the step's."""

    async def find(self, step: StepRun, key: str) -> FoundResult | None:
        """What is kept under the key."""
        ...

    async def keep(self, step: StepRun, key: str, outputs: str) -> None:
        """Keep `outputs`, JSON text, under the key."""
        ...


class ResultFolder:
    """A file a result; the oldest go when there are many."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def find(self, step: StepRun, key: str) -> FoundResult | None:  # noqa: ARG002 - each place is given it
        """See ResultPlace."""
        file = self._folder / f"{key}.json"
        try:
            found = read_result(file.read_text(encoding="utf-8"), "a run on this machine")
        except (OSError, UnicodeDecodeError):
            return None
        with contextlib.suppress(OSError):  # somebody else has just removed it
            os.utime(file)
        return found

    async def keep(self, step: StepRun, key: str, outputs: str) -> None:
        """See ResultPlace."""
        self._folder.mkdir(parents=True, exist_ok=True)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime())
        text = json.dumps({"outputs": json.loads(outputs), "step": f"{_name(step)} of {when}"})
        temporary = self._folder / f".{key}.{secrets.token_hex(4)}"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self._folder / f"{key}.json")
        self._make_room()

    def _make_room(self) -> None:
        files = sorted(self._folder.glob("*.json"), key=_used_at)
        for file in files[: max(0, len(files) - _MOST_FILES)]:
            file.unlink(missing_ok=True)


class ResultService:
    """The server's results, for the job whose token the program shows."""

    async def find(self, step: StepRun, key: str) -> FoundResult | None:
        """See ResultPlace."""
        said = await _ask(step, {"FLOW_RESULT_KEY": key})
        return read_result(said, "a run") if said else None

    async def keep(self, step: StepRun, key: str, outputs: str) -> None:
        """See ResultPlace."""
        await _ask(step, {"FLOW_RESULT_KEY": key, "FLOW_RESULT": outputs, "FLOW_RESULT_STEP": _name(step)})


def find_place(step: StepRun) -> ResultPlace:
    """Where the results of the step's action are kept."""
    job = step.job
    if job.settings.server_url and job.runtime_token:
        return ResultService()
    return ResultFolder(job.settings.work_folder / "_results")


def read_result(text: str, whose: str) -> FoundResult | None:
    """A result as it is kept; None for what is none."""
    try:
        found: Any = json.loads(text)
        outputs = {str(name): value for name, value in found["outputs"].items()}
        run = f"run {found['run']}" if "run" in found else whose
        return FoundResult(outputs, f"{run}, step {found['step']}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


async def _ask(step: StepRun, variables: Mapping[str, str]) -> str:
    """What the program says; nothing when it has nothing to say."""
    from agent.job.runtimes.python import find_python

    folder = bundled("actions") / "_toolkit"
    own = replace(step, effects=Effects(), inputs={}, action=None)
    words = (find_python(step.job, folder), "-I", "-B", "-u", str(folder / "step_result.py"))
    await own.run_process(words, extra={**own.service_variables(), **variables}, host=MachineHost())
    said = own.effects.outputs.get("result")
    return said if isinstance(said, str) else ""


def _name(step: StepRun) -> str:
    return step.log.name[:_LONGEST_NAME]


def _used_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
