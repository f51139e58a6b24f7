"""`agent flow records`: records that streamed through a flow, as the server keeps them."""

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from agent.cli.flow.stored import add_remote, connect_remote

if TYPE_CHECKING:
    from agent.cli.client import Client

_USUAL = 50


def configure(commands: Any) -> None:
    """Declare the sub-command among those of `agent flow`."""
    parser = add_remote(
        commands,
        "records",
        _list,
        "Records that went through a flow: some of those that went well, and all that failed.",
        "agent flow records 'Relay big orders' --failed",
        "agent flow records 12 --stage send --format json",
    )
    parser.add_argument(
        "name", metavar="NAME", help="a deployment's name (of its present runs), or a run's number"
    )
    parser.add_argument("--failed", action="store_true", help="only those that ended as dead letters")
    parser.add_argument("--key", default="", metavar="K", help="only those whose key begins so")
    parser.add_argument("--stage", default="", metavar="S", help="only those that were at this stage")
    parser.add_argument(
        "--limit", type=int, default=_USUAL, metavar="N", help=f"so many of the newest (default: {_USUAL})"
    )


def _list(arguments: argparse.Namespace) -> int:
    from agent.cli.terminal.tables import print_json

    client = connect_remote(arguments)
    query = {"key": arguments.key, "stage": arguments.stage, "dead": "true" if arguments.failed else None}
    found = [
        {"run": run, **record}
        for run in _find_runs(client, arguments.name)
        for record in client.list_all(f"/api/v1/runs/{run}/records", "records", most=arguments.limit, **query)
    ]
    found = sorted(found, key=lambda record: -record["began"])[: arguments.limit]
    if arguments.format == "json":
        print_json(found, sys.stdout)
    else:
        _print(found)
    return 0


def _find_runs(client: "Client", name: str) -> list[int]:
    """The runs whose records are meant."""
    if name.isascii() and name.isdigit():
        return [int(name)]
    deployment = client.get(client.in_project(f"/api/v1/deployments/{quote(name, safe='')}"))
    return sorted({place["run"] for place in deployment["places"] if place["run"]})


def _print(found: list[dict[str, Any]]) -> None:
    from agent.cli.terminal.tables import print_table
    from agent.cli.terminal.times import show_moment

    rows = [
        [
            show_moment(record["began"], sys.stdout),
            record["run"],
            record["key"],
            record["state"],
            f"{record['seconds']:.3f} s",
            " > ".join(map(_describe_passage, record["stages"])),
            record["error"],
        ]
        for record in found
    ]
    print_table(
        ["came", "run", "key", "state", "took", "stages", "error"], rows, sys.stdout, state=3, spare=5
    )


def _describe_passage(passage: Mapping[str, Any]) -> str:
    """A stage, and how often it tried where that was more than once."""
    tries = f" ({passage['attempts']} times)" if passage["attempts"] > 1 else ""
    return f"{passage['name']}{tries}"
