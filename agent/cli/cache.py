"""`agent cache`: what flows have cached on the server (`actions/cache`)."""

import argparse
import sys

from agent.cli.arguments import add_command, add_format, add_project, add_server, add_subcommands, describe
from agent.cli.client import connect
from agent.cli.terminal.progress import size_text
from agent.cli.terminal.tables import print_json, print_table
from agent.cli.terminal.times import show_moment
from agent.errors import NotFoundError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    describe(parser, "Caches of a project.", "agent cache list --prefix pip-")
    commands = add_subcommands(parser)
    listing = add_command(
        commands, "list", _list, "The caches, the last used first.", "agent cache list --prefix pip-"
    )
    listing.add_argument("--prefix", metavar="TEXT", help="only those whose key begins with it")
    deleting = add_command(
        commands, "delete", _delete, "Delete caches by key or number.", "agent cache delete pip-linux-1a2b"
    )
    deleting.add_argument("key", metavar="KEY", help="of all branches; or the number that the list shows")
    for command in (listing, deleting):
        add_project(command)
        add_format(command)
        add_server(command)


def _list(arguments: argparse.Namespace) -> int:
    client = connect(url=arguments.url, token=arguments.token, project=arguments.project)
    found = client.read_list(client.in_project("/api/v1/caches"), "caches", prefix=arguments.prefix)
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    rows = [
        [
            row["id"],
            row["key"],
            row["ref"],
            size_text(row["size_bytes"]),
            show_moment(row["last_used"], sys.stdout),
        ]
        for row in found["caches"]
    ]
    print_table(["id", "key", "ref", "size", "last used"], rows, sys.stdout)
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    client = connect(url=arguments.url, token=arguments.token, project=arguments.project)
    known = client.list_all(client.in_project("/api/v1/caches"), "caches")
    wanted = [row for row in known if arguments.key in (row["key"], str(row["id"]))]
    if not wanted:
        raise NotFoundError(f"there is no cache '{arguments.key}'", hint="`agent cache list` shows them")
    for row in wanted:
        client.delete(f"/api/v1/caches/{row['id']}")
    sys.stderr.write(f"{len(wanted)} deleted\n")
    return 0
