"""`agent register`: make this machine an agent of a server."""

import argparse
import json
import platform
import sys
from typing import TextIO

from agent.cli.arguments import add_format, describe, read_number
from agent.config import Settings, load_settings
from agent.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    describe(
        parser,
        "Register this machine as an agent. Its keys are made here and never leave it; the token is spent.",
        "agent register --url https://flows.example.org --token TOKEN --labels a100,fast-disk",
    )
    parser.add_argument("--url", help="the server (AGENT_URL)")
    parser.add_argument("--token", help="a registration token (AGENT_REGISTRATION_TOKEN)")
    parser.add_argument("--name", default="", help="how the agent is called (default: the machine's name)")
    parser.add_argument("--labels", default="", help="more labels, with commas; the machine's own are added")
    parser.add_argument(
        "--ubuntu-latest",
        action=argparse.BooleanOptionalAction,
        help="take jobs for GitHub's ubuntu-latest (default: asked on a terminal, else no)",
    )
    parser.add_argument("--group", default="", help="the group of agents that it joins")
    parser.add_argument("--work-dir", help="where jobs work (AGENT_WORK_DIR)")
    parser.add_argument(
        "--max-jobs",
        type=read_number,
        help="how many jobs at once (default: one a GPU, at least one; of Slurm 64)",
    )
    parser.add_argument("--ephemeral", action="store_true", help="take one job, then unregister")
    parser.add_argument("--replace", action="store_true", help="take the place of an agent of the same name")
    add_format(parser)
    parser.set_defaults(handler=_handle)


def _handle(arguments: argparse.Namespace) -> int:
    flags = {"url": arguments.url, "registration_token": arguments.token, "work_dir": arguments.work_dir}
    return run_register(
        load_settings(flags),
        name=arguments.name,
        labels=tuple(label.strip() for label in arguments.labels.split(",") if label.strip()),
        lends_ubuntu=arguments.ubuntu_latest,
        group=arguments.group,
        max_jobs=arguments.max_jobs,
        is_ephemeral=arguments.ephemeral,
        is_replacing=arguments.replace,
        output_format=arguments.format,
        out=sys.stdout,
    )


def run_register(
    settings: Settings,
    *,
    name: str = "",
    labels: tuple[str, ...] = (),
    lends_ubuntu: bool | None = None,
    group: str = "",
    max_jobs: int | None = None,
    is_ephemeral: bool = False,
    is_replacing: bool = False,
    output_format: str = "text",
    out: TextIO,
) -> int:
    """Register this machine under `settings`' url, registration_token, state and work_dir; the exit code is 0.

    `max_jobs` None: as many as the machine has GPUs, at least one. Raises the AgentErrors of `agent.daemon.register`.
    """
    from agent.cli.machine.lending import lend
    from agent.cli.machine.own_inventory import take_own_inventory
    from agent.daemon.register import RegisterOptions, register
    from agent.daemon.state import StateFolder
    from agent.spec.room import choose_slots

    if not settings["url"]:
        raise UsageError("no server is named", hint="`--url https://flows.example.org`, or set AGENT_URL")
    if not settings["registration_token"]:
        raise UsageError(
            "no registration token is given",
            hint="`--token TOKEN`, or set AGENT_REGISTRATION_TOKEN; `agent server token create` makes one",
        )
    labels = lend(labels, lends_ubuntu, may_ask=output_format == "text")
    inventory = take_own_inventory(settings)
    slots = choose_slots(inventory, is_ephemeral=is_ephemeral) if max_jobs is None else max_jobs
    request = RegisterOptions(
        url=settings["url"],
        token=settings["registration_token"],
        name=name or platform.node() or "agent",
        labels=labels,
        group=group,
        max_jobs=slots,
        is_ephemeral=is_ephemeral,
        is_replacing=is_replacing,
        work_folder=str(settings.work_folder.absolute()) if settings["work_dir"] else "",
    )
    state = StateFolder(settings.state_folder.absolute())
    registration = register(state, request, inventory)
    if output_format == "json":
        out.write(
            json.dumps(
                {
                    "agent": registration.agent,
                    "name": registration.name,
                    "url": registration.url,
                    "state": str(state.path),
                    "max_jobs": registration.max_jobs,
                    "labels": list(registration.labels),
                }
            )
            + "\n"
        )
    else:
        out.write(f"Registered as {registration.name} ({registration.agent}) with {registration.url}\n")
        at_once = "1 job" if slots == 1 else f"{slots} jobs"
        out.write(f"It takes {at_once} at a time; another --max-jobs changes that\n")
        out.write("Start it with: agent start\n")
    return 0
