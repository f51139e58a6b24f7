"""`agent drain`: no new jobs; those that run go on to their end."""

import argparse
import json
import sys
from typing import TextIO

from agent.cli.arguments import add_format, describe
from agent.config import Settings, load_settings


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    describe(
        parser,
        "Take no new jobs; those that run go on. It holds until --undo, also over a restart.",
        "agent drain",
        "agent drain --undo",
    )
    parser.add_argument("--undo", action="store_true", help="take jobs again")
    add_format(parser)
    parser.set_defaults(
        handler=lambda arguments: run_drain(
            load_settings(), is_draining=not arguments.undo, output_format=arguments.format, out=sys.stdout
        )
    )


def run_drain(settings: Settings, *, is_draining: bool, output_format: str = "text", out: TextIO) -> int:
    """Begin or end draining, whether the agent runs or not; the exit code is 0.

    Raises NotFoundError when this machine is not registered.
    """
    from agent.daemon.local import ask_daemon
    from agent.daemon.state import StateFolder

    state = StateFolder(settings.state_folder.absolute())
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
