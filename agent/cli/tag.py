"""`agent tag`: names that people put on runs and artifacts."""

import argparse
import sys
from urllib.parse import quote

from agent.cli.arguments import (
    add_command,
    add_format,
    add_project,
    add_server,
    add_subcommands,
    describe,
    read_number,
)
from agent.cli.client import connect
from agent.cli.tables import print_json, print_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    describe(parser, "Tags on runs and artifacts.", "agent tag add best --artifact 12")
    commands = add_subcommands(parser)
    adding = add_command(commands, "add", _add, "Put a tag on.", "agent tag add best --artifact 12")
    listing = add_command(commands, "list", _list, "Tags, and what they are on.", "agent tag list --run 7")
    deleting = add_command(commands, "delete", _delete, "Take a tag off.", "agent tag delete best --run 7")
    for command in (adding, listing, deleting):
        command.add_argument("tag", metavar="TAG", nargs="?" if command is listing else None)
        thing = command.add_mutually_exclusive_group(required=command is not listing)
        thing.add_argument("--run", type=read_number, metavar="N", help="the run with this number")
        thing.add_argument("--artifact", type=read_number, metavar="N", help="the artifact with this number")
        add_format(command)
        add_server(command)
    add_project(listing)


def _add(arguments: argparse.Namespace) -> int:
    view = connect(url=arguments.url, token=arguments.token).put(_path(arguments, arguments.tag), {})
    if arguments.format == "json":
        print_json(view, sys.stdout)
    else:
        sys.stderr.write(f"tagged {view['tag']}\n")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    client = connect(url=arguments.url, token=arguments.token, project=arguments.project)
    if arguments.run is not None or arguments.artifact is not None:
        known = client.list_all(_path(arguments), "tags")
        found = [row for row in known if arguments.tag in (None, row["tag"])]
    else:
        found = client.list_all(client.in_project("/api/v1/tags"), "tags", tag=arguments.tag)
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    rows = [[row["tag"], row["kind"], row["id"], row["actor"], row["created"]] for row in found]
    print_table(["tag", "on", "number", "by", "created"], rows, sys.stdout)
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    connect(url=arguments.url, token=arguments.token).delete(_path(arguments, arguments.tag))
    sys.stderr.write(f"tag {arguments.tag} is taken off\n")
    return 0


def _path(arguments: argparse.Namespace, tag: str = "") -> str:
    things = f"runs/{arguments.run}" if arguments.run is not None else f"artifacts/{arguments.artifact}"
    return f"/api/v1/{things}/tags" + (f"/{quote(tag, safe='')}" if tag else "")
