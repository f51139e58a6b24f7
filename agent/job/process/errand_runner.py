"""`python -m agent.job.process.errand_runner`: something that is to be done as the jobs' user, done by a process that has become that user.

    check FOLDER...       whether this Python can be used, and the folders be reached and not be written     nothing, or the reason
    end FOLDER GROUPS     SIGKILL all that the attempt in this job folder has                                 nothing, or the reason
    tell FOLDER           SIGTERM its supervisor                                                              how many there are
    empty FOLDER..        remove all that lies in a job's folders in the work folder                          nothing
    offer TOOLS WHAT..    put a tool of the machine (its kind, version and program) into the tool cache        nothing

The answer is a line on standard output. Who asks is `agent.job.account.errand.run_errand`.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from agent.errors import AgentError
from agent.job.account.account import become, find_account
from agent.job.folder.attempt import JobFolder
from agent.job.process.cgroup import JobGroup
from agent.job.process.ending import end_own, tell_own
from agent.trees import remove_tree

_SECONDS = 60.0
_TRY = "import agent.job.supervisor.process, asyncio, ctypes, json, ssl"  # our own, what it needs, a library that is loaded


def main(arguments: list[str]) -> int:
    """Become the user that the first argument names, and do what the second says."""
    name, verb, *rest = arguments
    try:
        become(find_account(name))
        print(_VERBS[verb](*rest))  # noqa: T201 - the answer
    except AgentError as error:
        print(error, file=sys.stderr)  # noqa: T201 - whoever started us reads it
        return 1
    return 0


def _check(*folders: str) -> str:
    command = [sys.executable, "-s", "-P", "-X", "utf8", "-c", _TRY]
    try:
        done = subprocess.run(command, capture_output=True, check=False, cwd="/", timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it can't use the agent's Python: {error}"
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return (
            f"it can't use the agent's Python, {sys.executable}: {said[-1] if said else 'it does not start'}"
        )
    return next(filter(None, map(_check_folder, folders)), "")


def _check_folder(folder: str) -> str:
    for place in (*reversed(Path(folder).parents), Path(folder)):
        if not os.access(place, os.X_OK):
            return f"it may not go through {place}"
    if os.access(folder, os.W_OK):
        return f"it may write in {folder}"
    return ""


def _end(folder: str, group: str) -> str:
    attempt = JobFolder(Path(folder), "", 0)
    end_own(attempt, JobGroup(Path(group) if group else None, attempt.tracking_id))
    return ""


def _tell(folder: str) -> str:
    return str(tell_own(JobFolder(Path(folder), "", 0)))


def _offer(tools: str, *what: str) -> str:
    from agent.machine.tool_cache import offer_tool
    from agent.machine.tool_offers import ToolOffer

    offer_tool(Path(tools), ToolOffer(*what))
    return ""


def _empty(*folders: str) -> str:
    for folder in folders:
        with contextlib.suppress(OSError):
            for entry in list(Path(folder).iterdir()):
                remove_tree(entry)
    return ""


_VERBS: dict[str, Callable[..., str]] = {
    "check": _check,
    "end": _end,
    "tell": _tell,
    "empty": _empty,
    "offer": _offer,
}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
