"""`agent flow store|list|start|enable|disable|delete`: the flows that the server knows."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from agent.cli.arguments import add_command, add_format, add_inputs, add_project, add_server
from agent.cli.local_files.files import read_flow, read_inputs
from agent.errors import UsageError

if TYPE_CHECKING:  # `agent flow run` passes here, and needs no server
    from agent.cli.client import Client
    from agent.flow.model import Flow


def configure(commands: Any) -> None:
    """Declare the sub-commands among those of `agent flow`."""
    store = add_remote(
        commands, "store", _store, "Store a flow on the server.", "agent flow store nightly.yml"
    )
    store.add_argument("file", type=Path, metavar="FILE")
    store.add_argument("--name", help="what it is called there (default: the file's name without its ending)")
    store.add_argument("--dialect", help="read as this language instead of finding out")
    add_remote(commands, "list", _list, "The flows that the server knows.", "agent flow list")
    start = add_remote(
        commands, "start", _start, "Start a flow of the server.", "agent flow start nightly --input a=1"
    )
    add_inputs(start)
    start.add_argument(
        "--spec",
        type=Path,
        metavar="FILE",
        help="run this file, as a run of that flow, instead of its own text",
    )
    start.add_argument("--make-default", action="store_true", help="the file is the flow's text from now on")
    start.add_argument("--dialect", help="read the file as this language instead of finding out")
    start.add_argument(
        "--job", action="append", default=[], metavar="ID", help="only this job and what it needs"
    )
    delete = add_remote(commands, "delete", _delete, "Forget a stored flow.", "agent flow delete nightly")
    enable = add_remote(
        commands, "enable", _enable, "Let a flow start by itself again.", "agent flow enable nightly"
    )
    disable = add_remote(
        commands, "disable", _disable, "Let a flow start no more.", "agent flow disable nightly"
    )
    for parser in (start, delete, enable, disable):
        parser.add_argument("name", metavar="FLOW", help="a stored flow's name, or any one's number")


def add_remote(commands: Any, name: str, handler: Any, meaning: str, *examples: str) -> Any:
    """A sub-command that asks the server about a project."""
    parser = add_command(commands, name, handler, meaning, *examples)
    add_format(parser)
    add_server(parser)
    add_project(parser)
    return parser


def connect_remote(arguments: argparse.Namespace) -> "Client":
    """The server that the command's options name."""
    from agent.cli.client import connect

    return connect(url=arguments.url, token=arguments.token, project=arguments.project)


def _path(client: "Client", name: str, verb: str = "") -> str:
    return client.in_project(f"/api/v1/flows/{quote(name, safe='')}{verb}")


def _store(arguments: argparse.Namespace) -> int:
    body = _read_text(arguments.file, arguments.dialect)
    client = connect_remote(arguments)
    name = arguments.name or arguments.file.stem
    return _tell(arguments, client.put(_path(client, name), body), f"{name} is stored")


def _read_text(file: Path, dialect: str | None) -> dict[str, Any]:
    """The flow in a file as the server is told it; every problem is said with its place, before anything is sent."""
    read = read_flow(file, dialect)
    called = _read_called(read.flow, file)
    return {"text": read.text, "dialect": dialect, **({"called": called} if called else {})}


def _read_called(flow: "Flow", file: Path) -> dict[str, str]:
    """The texts of the flows that a flow calls, which are stored with it; checked as a whole."""
    from agent.cli.local_files.called import read_called
    from agent.flow.called import link_flow

    called = dict(read_called(flow, file))
    link_flow(flow, called)
    return called


def _list(arguments: argparse.Namespace) -> int:
    from agent.cli.terminal.tables import print_json, print_table
    from agent.cli.terminal.times import show_moment

    client = connect_remote(arguments)
    found = client.list_all(client.in_project("/api/v1/flows"), "flows")
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    rows = [
        [
            row["id"],
            row["name"],
            row["repository"] or "stored here",
            _state(row),
            show_moment(_next(row), sys.stdout),
        ]
        for row in found
    ]
    print_table(["id", "flow", "where", "state", "next start"], rows, sys.stdout)
    return 0


def _start(arguments: argparse.Namespace) -> int:
    inputs = read_inputs(arguments.input, arguments.input_file)
    body: dict[str, Any] = {"inputs": inputs}
    if arguments.spec is not None:
        body |= {
            "spec": _read_text(arguments.spec, arguments.dialect),
            "make_default": arguments.make_default,
        }
    elif arguments.make_default:
        raise UsageError(
            "--make-default is for a --spec", hint="agent flow start NAME --spec FILE --make-default"
        )
    client = connect_remote(arguments)
    if arguments.job:
        body["jobs"] = arguments.job
    started = client.post(_path(client, arguments.name, "/dispatch"), body)
    link = f": {started['url']}" if "url" in started else ""
    return _tell(
        arguments,
        started,
        f"run {started['run']} started{link}; `agent run watch {started['run']}` follows it",
    )


def _delete(arguments: argparse.Namespace) -> int:
    client = connect_remote(arguments)
    client.delete(_path(client, arguments.name))
    return _tell(arguments, {"deleted": arguments.name}, f"{arguments.name} is forgotten")


def _enable(arguments: argparse.Namespace) -> int:
    client = connect_remote(arguments)
    row = client.post(_path(client, arguments.name, "/enable"))
    return _tell(arguments, row, f"{row['name']} starts by itself")


def _disable(arguments: argparse.Namespace) -> int:
    client = connect_remote(arguments)
    row = client.post(_path(client, arguments.name, "/disable"))
    return _tell(arguments, row, f"{row['name']} starts no more")


def _tell(arguments: argparse.Namespace, facts: Any, words: str) -> int:
    from agent.cli.terminal.tables import plain, print_json

    if arguments.format == "json":
        print_json(facts, sys.stdout)
    else:
        sys.stdout.write(f"{plain(words)}\n")
    return 0


def _state(row: dict[str, Any]) -> str:
    if row["problems"]:
        return f"not valid: {row['problems'][0]}"
    return "enabled" if row["enabled"] else "disabled"


def _next(row: dict[str, Any]) -> str:
    return min((str(time["next"]) for time in row["schedules"]), default="")
