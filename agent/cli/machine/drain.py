"""`agent drain`: no new jobs; those that run go on to their end, which can be waited for."""

import argparse
import json
import sys
import time
from typing import TextIO

from agent.cli.arguments import add_format, describe, read_duration
from agent.config import Settings, load_settings
from agent.errors import AgentError

_LOOK_SECONDS = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    describe(
        parser,
        "Take no new jobs; those that run go on. It holds until --undo, also over a restart.",
        "agent drain",
        "agent drain --deadline 12h && systemctl stop flow-agent",
        "agent drain --undo",
    )
    parser.add_argument("--undo", action="store_true", help="take jobs again")
    parser.add_argument(
        "--deadline",
        metavar="T",
        help="wait so long for the jobs to end (30m, 12h, never); exit 1 if some have not",
    )
    add_format(parser)
    parser.set_defaults(handler=_handle)


def _handle(arguments: argparse.Namespace) -> int:
    settings = load_settings()
    deadline = arguments.deadline
    seconds = read_duration(deadline, "--deadline") if deadline else 0.0
    code = run_drain(settings, is_draining=not arguments.undo, output_format=arguments.format, out=sys.stdout)
    if deadline and not arguments.undo:
        wait_for_jobs(settings, seconds)
    return code


def wait_for_jobs(settings: Settings, seconds: float | None) -> None:
    """Wait until no job is left on this machine, at most `seconds` (None: as long as it takes).

    Raises AgentError when some are left then.
    """
    from agent.daemon.state import StateFolder
    from agent.job.launch.launcher import list_job_folders

    jobs = StateFolder(settings.state_folder.absolute()).jobs
    began = time.monotonic()
    while left := len(list_job_folders(jobs)):
        if seconds is not None and time.monotonic() - began > seconds:
            noun = "job is" if left == 1 else "jobs are"
            raise AgentError(f"{left} {noun} still here", hint="`agent status` shows them; they go on")
        time.sleep(_LOOK_SECONDS)


def run_drain(settings: Settings, *, is_draining: bool, output_format: str = "text", out: TextIO) -> int:
    """Begin or end draining, whether the agent runs or not; the exit code is 0.

    Raises NotFoundError when this machine is not registered.
    """
    from agent.daemon.local import ask_daemon
    from agent.daemon.state import StateFolder
    from agent.daemon.state_access import accessible

    state = StateFolder(settings.state_folder.absolute())
    with accessible(state):
        state.load_registration()
        answer = ask_daemon(state, {"verb": "drain", "is_draining": is_draining})
        if answer is None:
            state.set_draining(is_draining=is_draining)
    jobs = len(answer["jobs"]) if answer is not None else 0
    if output_format == "json":
        out.write(
            json.dumps({"is_draining": is_draining, "running": answer is not None, "jobs": jobs}) + "\n"
        )
    else:
        out.write(_describe(jobs, is_draining=is_draining, is_running=answer is not None))
    return 0


def _describe(jobs: int, *, is_draining: bool, is_running: bool) -> str:
    later = "" if is_running else " (it does not run now; this holds for its next start)"
    if not is_draining:
        return f"The agent takes jobs again{later}.\n"
    rest = f"; {jobs} still here, `agent status` shows them" if jobs else ""
    return f"The agent takes no new jobs{later}{rest}.\n"
