"""`agent reserve`: keep a GPU of this machine's agent for a person, for some time; no job is given it meanwhile."""

import argparse
import getpass
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from agent.cli.arguments import add_format, describe, read_duration
from agent.config import Settings, load_settings
from agent.errors import AgentError, UsageError

_MOST_SECONDS = 366 * 86400.0  # as agent.daemon.reservations, without its imports


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    describe(
        parser,
        "Keep a GPU for a person: no job is given it until then. A job that is on it goes on to its end.",
        "agent reserve 2 --for 2h --why 'a demo at four'",
        "agent reserve --list",
        "agent reserve 2 --free",
        "sudo agent reserve 2 --for 2h     # where the agent is the machine's: only its user and root may",
    )
    parser.add_argument(
        "gpu", nargs="?", help="its number (as nvidia-smi prints it), UUID, or 0:1 for an instance"
    )
    parser.add_argument("--for", dest="duration", metavar="T", help="for how long: 30m, 2h, 7d")
    parser.add_argument("--why", default="", help="what for; whoever waits for the GPU reads it")
    parser.add_argument("--by", metavar="NAME", help="for whom (default: you)")
    parser.add_argument("--free", action="store_true", help="give it back to the jobs now")
    parser.add_argument(
        "--list", action="store_true", help="show which GPUs are kept, for whom and until when"
    )
    add_format(parser)
    parser.set_defaults(handler=_handle)


def _handle(arguments: argparse.Namespace) -> int:
    return run_reserve(load_settings(), _read_request(arguments), arguments.format, sys.stdout)


def run_reserve(settings: Settings, request: Mapping[str, object], output_format: str, out: TextIO) -> int:
    """Carry out `request` (`agent.daemon.local`), by the daemon where it runs; the exit code is 0.

    Raises AgentError when it can't be met, NotFoundError when this machine is not registered.
    """
    from agent.daemon.local import ask_daemon
    from agent.daemon.state import StateFolder
    from agent.daemon.state_access import accessible

    state = StateFolder(settings.state_folder.absolute())
    with accessible(state):
        state.load_registration()
        answer = ask_daemon(state, request)
        is_running = answer is not None
        if answer is None:
            answer = _do_without_daemon(state, request)
    if "error" in answer:
        raise AgentError(str(answer["error"]), hint=str(answer.get("hint", "")))
    if output_format == "json":
        out.write(json.dumps(answer) + "\n")
    else:
        out.writelines(
            f"{line}\n" for line in _describe(request, answer["reservations"], is_running=is_running)
        )
    return 0


def _read_request(arguments: argparse.Namespace) -> Mapping[str, object]:
    if arguments.list or (arguments.gpu is None and not arguments.free and arguments.duration is None):
        return {"verb": "reservations"}
    if arguments.gpu is None:
        raise UsageError(
            "no GPU is named", hint="`agent reserve 2 --for 2h`; `agent machine show` lists them"
        )
    if arguments.free:
        return {"verb": "free", "gpu": arguments.gpu}
    seconds = read_duration(arguments.duration, "--for") if arguments.duration else None
    if seconds is None:
        raise UsageError("a reservation has an end", where="--for", hint="write 30m, 2h or 7d")
    if seconds > _MOST_SECONDS:
        raise UsageError("a GPU is kept for a year at most", where="--for", hint="write 30m, 2h or 7d")
    holder = arguments.by or os.environ.get("SUDO_USER") or getpass.getuser()
    return {
        "verb": "reserve",
        "gpu": arguments.gpu,
        "holder": holder,
        "seconds": seconds,
        "why": arguments.why,
    }


def _do_without_daemon(state: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """The same, where no agent runs: it holds from its next start on."""
    from agent.daemon.reservation_desk import describe_reservations
    from agent.daemon.reservations import Reservations, obey
    from agent.machine.probes.nvidia import list_gpus

    gpus, now = list_gpus().gpus, time.time()
    return describe_reservations(obey(Reservations(state), request, gpus, now), gpus, now)


def _describe(request: Mapping[str, object], found: list[dict[str, Any]], *, is_running: bool) -> list[str]:
    if not found:
        return ["No GPU is reserved."]
    lines = []
    for one in found:
        name = f"GPU {one['index']} ({one['gpu']})" if one["index"] is not None else str(one["gpu"])
        if request["verb"] == "free":
            lines.append(f"{name} is for jobs again.")
        else:
            lines.append(f"{name} is {one['words']}.{_tell_jobs(one['jobs'])}")
    if request["verb"] == "reserve" and not is_running:
        lines.append("The agent does not run now; this holds for its next start.")
    return lines


def _tell_jobs(jobs: list[str]) -> str:
    if not jobs:
        return ""
    noun = f"job {jobs[0]} has ended" if len(jobs) == 1 else f"jobs {', '.join(jobs)} have ended"
    verb = "is" if len(jobs) == 1 else "are"
    return f" It is free when {noun}, which {verb} still on it."
