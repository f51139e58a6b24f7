"""`agent status`: what this machine's agent is doing, whether it runs or not."""

import argparse
import json
import shlex
import sys
from collections.abc import Mapping
from typing import Any, TextIO

from agent.cli.arguments import add_format, describe
from agent.config import Settings, load_settings

_MOST_SHOWN = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    describe(
        parser, "Show what this machine's agent is doing. Exit code 1 when it does not run.", "agent status"
    )
    add_format(parser)
    parser.set_defaults(
        handler=lambda arguments: run_status(load_settings(), output_format=arguments.format, out=sys.stdout)
    )


def run_status(settings: Settings, *, output_format: str = "text", out: TextIO) -> int:
    """Print the status; 0 when the agent runs, 1 when it does not. Raises NotFoundError when nothing is registered."""
    from agent.daemon.state import StateFolder
    from agent.daemon.state_access import accessible

    state = StateFolder(settings.state_folder.absolute())
    with accessible(state):
        status = _find_out(state, settings)
    if output_format == "json":
        out.write(json.dumps(status) + "\n")
    else:
        _print_text(status, _advise_start(state, is_running=status["running"]), out)
    return 0 if status["running"] else 1


def _find_out(state: Any, settings: Settings) -> dict[str, Any]:
    from agent.daemon.local import ask_daemon
    from agent.daemon.state import choose_work_folder
    from agent.job.folder.attempt import list_leftovers

    registration = state.load_registration()
    answer = ask_daemon(state, {"verb": "status"})
    return {
        "agent": registration.agent,
        "name": registration.name,
        "url": registration.url,
        "state": str(state.path),
        "running": answer is not None,
        "leftovers": [
            str(path) for path in list_leftovers(state.jobs, choose_work_folder(registration, settings))
        ],
        **(answer or {"is_draining": state.is_draining, "jobs": _list_jobs(state)}),
    }


def _list_jobs(state: Any) -> list[dict[str, object]]:
    """The jobs of an agent that does not run; their supervisors go on without it."""
    from agent.daemon.job import DaemonJobState
    from agent.job.launch.launcher import list_job_folders, may_run

    states = {True: DaemonJobState.RUNNING, False: DaemonJobState.ENDED}
    return [
        {"job": folder.job, "lease": folder.lease, "state": states[may_run(folder)].value}
        for folder in list_job_folders(state.jobs)
    ]


def _advise_start(state: Any, *, is_running: bool) -> str:
    """How an agent that does not run is started, or why it can't be from here."""
    from agent.daemon.state_access import find_refusal

    refusal = None if is_running else find_refusal(state)
    return "start it with `agent start`" if refusal is None else f"it can't be started: {refusal}"


def _print_text(status: Mapping[str, Any], advice: str, out: TextIO) -> None:
    rows = [("agent", f"{status['name']} ({status['agent']})"), ("server", str(status["url"]))]
    if status["running"]:
        rows.append(("running", f"yes, process {status['pid']}"))
        problem = f": {status['problem']}" if status["problem"] else ""
        rows.append(("connection", f"{status['connection']}{problem}"))
    else:
        rows.append(("running", f"no; {advice}"))
    rows.append(("new jobs", "none, it is draining" if status["is_draining"] else "yes"))
    rows += [
        (f"gpu {gpu['index']}", f"{gpu['name']}, no job is given it: {gpu['withheld']}")
        for gpu in status.get("gpus", ())
        if gpu["withheld"]
    ]
    rows += [("job", f"{job['job']} (lease {job['lease']}): {job['state']}") for job in status["jobs"]]
    if not status["jobs"]:
        rows.append(("jobs", "none"))
    if status["leftovers"]:
        left = status["leftovers"]
        command = f"sudo rm -rf {shlex.join(left[:_MOST_SHOWN])}{' …' if len(left) > _MOST_SHOWN else ''}"
        rows.append(("left over", f"{len(left)} of jobs that are gone can't be removed: {command}"))
    out.writelines(f"{name:<10}  {value}\n" for name, value in rows)
