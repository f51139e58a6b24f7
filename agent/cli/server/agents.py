"""`agent server agent`: the agents of all machines, as the server's admins look after them, over its API.

`agent start`, `status`, `drain` and `unregister` are about the agent of the machine that one sits at; these are about
any agent that is registered.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from agent.cli.arguments import (
    CommandParser,
    add_command,
    add_format,
    add_server,
    add_subcommands,
    describe,
    split_pair,
)
from agent.cli.client import Client, connect
from agent.cli.terminal.tables import plain, print_json, print_table
from agent.cli.terminal.times import show_moment
from agent.errors import NotFoundError, UsageError
from agent.spec.resources import inventory_from_json
from agent.spec.room import explain_withheld

_PATH = "/api/v1/agents"
_LISTS, _NUMBERS, _TEXTS = ("labels", "projects"), ("max_jobs",), ("group", "address")
_KEYS = (*_LISTS, *_NUMBERS, *_TEXTS)


def configure(nouns: Any) -> None:
    """Declare the noun among those of `agent server`."""
    meaning = "Agents of all machines: who is there, and what each may be given."
    parser: CommandParser = nouns.add_parser("agent", help="agents of all machines, for the server's admins")
    describe(parser, meaning, "agent server agent list")
    commands = add_subcommands(parser)
    listing = _add(commands, "list", _list, "All agents by name.", "agent server agent list --status offline")
    listing.add_argument("--status", choices=["online", "draining", "offline"], help="only these")
    _add_named(commands, "show", _show, "One agent: machine, jobs, what was said of it.", "gpu-box-1")
    setting = _add_named(
        commands,
        "set",
        _set,
        "Say what an agent may be given; it counts at once, without a new registration.",
        "gpu-box-1 labels=a100,fast-disk projects=vision max_jobs=2",
    )
    setting.add_argument(
        "settings",
        nargs="+",
        metavar="KEY=VALUE",
        help=f"{', '.join(_KEYS)}; KEY=none: what the agent says itself, all projects",
    )
    drain = _add_named(commands, "drain", _drain, "Give it no new jobs; those that run go on.", "gpu-box-1")
    drain.add_argument("--undo", action="store_true", help="give it jobs again")
    _add_named(commands, "remove", _remove, "End its identity; jobs that it holds are lost.", "gpu-box-1")


def _add(
    commands: Any, name: str, handler: Callable[[argparse.Namespace], int], meaning: str, example: str
) -> CommandParser:
    parser = add_command(commands, name, handler, meaning, example)
    add_format(parser)
    add_server(parser)
    return parser


def _add_named(
    commands: Any, name: str, handler: Callable[[argparse.Namespace], int], meaning: str, words: str
) -> CommandParser:
    parser = _add(commands, name, handler, meaning, f"agent server agent {name} {words}")
    parser.add_argument("agent", metavar="AGENT", help="its name, or its id")
    return parser


def _list(arguments: argparse.Namespace) -> int:
    found = _connect(arguments).list_all(_PATH, "agents")
    found = [row for row in found if arguments.status in (None, row["status"])]
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    rows = [
        [
            row["name"],
            row["status"],
            f"{row['jobs_held']} of {row['max_jobs']}",
            _count_gpus(row["inventory"]),
            row["group"],
            ", ".join(row["labels"]),
            show_moment(row["last_seen"], sys.stdout),
        ]
        for row in found
    ]
    print_table(["agent", "state", "jobs", "gpus", "group", "labels", "last seen"], rows, sys.stdout)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    client = _connect(arguments)
    return _tell(arguments, client.get(_path(client, arguments.agent)))


def _set(arguments: argparse.Namespace) -> int:
    change = dict(_read_setting(text) for text in arguments.settings)
    client = _connect(arguments)
    return _tell(arguments, client.patch(_path(client, arguments.agent), change))


def _drain(arguments: argparse.Namespace) -> int:
    client = _connect(arguments)
    row = client.patch(_path(client, arguments.agent), {"draining": not arguments.undo})
    if arguments.format == "json":
        print_json(row, sys.stdout)
        return 0
    # The agent's own word (`agent drain` on its machine) holds beside the server's.
    words = "gets new jobs" if row["status"] != "draining" else "gets no new jobs"
    sys.stdout.write(f"{plain(row['name'])} {words}; it holds {row['jobs_held']}\n")
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    client = _connect(arguments)
    client.delete(_path(client, arguments.agent))
    if arguments.format == "json":
        print_json({"removed": arguments.agent}, sys.stdout)
    else:
        sys.stdout.write(f"{plain(arguments.agent)} is removed\n")
    return 0


def _count_gpus(machine: dict[str, Any]) -> str:
    gpus = machine.get("gpus") or ()
    withheld = sum(bool(gpu.get("withheld")) for gpu in gpus)
    return f"{len(gpus)} ({withheld} withheld)" if withheld else str(len(gpus))


def _connect(arguments: argparse.Namespace) -> Client:
    return connect(url=arguments.url, token=arguments.token)


def _path(client: Client, agent: str) -> str:
    """The path of the agent of this name or id. Raises NotFoundError."""
    for row in client.list_all(_PATH, "agents"):
        if agent in (row["name"], row["id"]):
            return f"{_PATH}/{quote(row['id'], safe='')}"
    raise NotFoundError(f"there is no agent '{agent}'", hint="`agent server agent list` shows them")


def _read_setting(text: str) -> tuple[str, Any]:
    """`labels=a,b` as the API takes it. Raises UsageError."""
    key, value = split_pair(text, "KEY=VALUE")
    if key not in _KEYS:
        raise UsageError(f"there is no setting '{key}'", where=text, hint=f"there are {', '.join(_KEYS)}")
    if key in _TEXTS:
        return key, "" if value == "none" else value
    if value == "none":
        return key, None
    if key in _LISTS:
        return key, [word.strip() for word in value.split(",") if word.strip()]
    if not (value.isascii() and value.isdecimal()):
        raise UsageError(f"{key} is a whole number", where=text, hint=f"such as {key}=2, or {key}=none")
    return key, int(value)


def _tell(arguments: argparse.Namespace, row: dict[str, Any]) -> int:
    if arguments.format == "json":
        print_json(row, sys.stdout)
        return 0
    machine, said = row["inventory"], row["arranged"]
    inventory = inventory_from_json(machine)
    gpus = inventory.gpus
    names = ", ".join(gpu.name for gpu in gpus) or "none"
    facts = [
        ("agent", f"{row['name']} ({row['id']})"),
        ("state", row["status"]),
        ("jobs", f"{row['jobs_held']} of {row['max_jobs']}" + "".join(f"\n{job}" for job in row["jobs"])),
        ("group", row["group"] or "none"),
        ("labels", ", ".join(row["labels"]) + ("" if said["labels"] is None else "  (set here)")),
        ("projects", "all" if said["projects"] is None else ", ".join(said["projects"])),
        ("machine", f"{machine['os']} {machine['os_version']}, {machine['cpu_count']} CPUs"),
        ("gpus", "\n".join(filter(None, (names, inventory.share, explain_withheld(gpus))))),
        ("software", row["software"] or "not connected yet"),
        ("last seen", show_moment(row["last_seen"], sys.stdout)),
    ]
    for name, value in facts:
        lines = [plain(line) for line in str(value).split("\n")]
        sys.stdout.write(f"{name:<10}" + f"\n{'':<10}".join(lines) + "\n")
    return 0
