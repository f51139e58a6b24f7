"""`agent tag`: names that people put on runs, artifacts and versions of datasets."""

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent.cli.arguments import (
    add_command,
    add_format,
    add_project,
    add_server,
    add_subcommands,
    describe,
    read_number,
    read_run,
)
from agent.cli.client import Client, connect
from agent.cli.terminal.tables import print_json, print_table
from agent.cli.terminal.times import show_moment
from agent.errors import NotFoundError, UsageError
from agent.spec.data import check_tag
from agent.spec.dataset import read_ref


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    describe(parser, "Tags on runs, artifacts and versions of datasets.", "agent tag add best --artifact 12")
    commands = add_subcommands(parser)
    adding = add_command(commands, "add", _add, "Put a tag on.", "agent tag add best --artifact 12")
    listing = add_command(commands, "list", _list, "Tags, and what they are on.", "agent tag list --run 7")
    deleting = add_command(commands, "delete", _delete, "Take a tag off.", "agent tag delete best --run 7")
    for command in (adding, listing, deleting):
        command.add_argument("tag", metavar="TAG", nargs="?" if command is listing else None)
        thing = command.add_mutually_exclusive_group(required=command is adding)
        thing.add_argument("--run", type=read_run, metavar="N", help="the run with this number")
        thing.add_argument("--artifact", type=read_number, metavar="N", help="the artifact with this number")
        thing.add_argument("--dataset", metavar="NAME:VERSION", help="the version; its tag moves to it")
        if command is adding:
            thing.add_argument(
                "--path",
                type=Path,
                nargs="+",
                metavar="PATH",
                help="folders or files of here, which are uploaded",
            )
        add_project(command)
        add_format(command)
        add_server(command)


def _add(arguments: argparse.Namespace) -> int:
    with closing(_connect(arguments)) as client:
        if arguments.path:
            from agent.cli.tag_folders import tag_folders

            shows = arguments.format == "text"
            view = tag_folders(client, check_tag(arguments.tag), arguments.path, shows=shows)
        else:
            view = client.put(_path(client, arguments, arguments.tag), {})
    if arguments.format == "json":
        print_json(view, sys.stdout)
    else:
        sys.stderr.write(f"tagged {view['tag']}\n")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    with closing(_connect(arguments)) as client:
        found = _find(client, arguments)
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    rows = [
        [row["tag"], row["kind"], row["id"], row["actor"], show_moment(row["created"], sys.stdout)]
        for row in found
    ]
    print_table(["tag", "on", "number", "by", "created"], rows, sys.stdout)
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    with closing(_connect(arguments)) as client:
        if _names_thing(arguments):
            client.delete(_path(client, arguments, arguments.tag))
        else:
            _delete_everywhere(client, arguments.tag)
    sys.stderr.write(f"tag {arguments.tag} is taken off\n")
    return 0


def _delete_everywhere(client: Client, tag: str) -> None:
    """Take the tag off all that has it. Raises NotFoundError when nothing has."""
    found = client.list_all(client.in_project("/api/v1/tags"), "tags", tag=tag)
    if not found:
        raise NotFoundError(
            f"nothing has the tag '{tag}'", hint="`agent tag list` shows those of the project"
        )
    for row in found:
        end = f"/tags/{quote(tag, safe='')}"
        if row["kind"] == "dataset_version":
            raise UsageError(
                f"the tag '{tag}' is on a version of a dataset, too",
                hint="name it: --dataset NAME:VERSION, --run, --artifact",
            )
        client.delete(f"/api/v1/{row['kind']}s/{row['id']}{end}")


def _names_thing(arguments: argparse.Namespace) -> bool:
    return any(thing is not None for thing in (arguments.run, arguments.artifact, arguments.dataset))


def _find(client: Client, arguments: argparse.Namespace) -> list[Any]:
    if _names_thing(arguments):
        known = client.list_all(_path(client, arguments), "tags")
        return [row for row in known if arguments.tag in (None, row["tag"])]
    return client.list_all(client.in_project("/api/v1/tags"), "tags", tag=arguments.tag)


def _connect(arguments: argparse.Namespace) -> Client:
    return connect(url=arguments.url, token=arguments.token, project=arguments.project)


def _path(client: Client, arguments: argparse.Namespace, tag: str = "") -> str:
    end = "/tags" + (f"/{quote(tag, safe='')}" if tag else "")
    if arguments.run is not None:
        return f"/api/v1/runs/{arguments.run}{end}"
    if arguments.artifact is not None:
        return f"/api/v1/artifacts/{arguments.artifact}{end}"
    ref = read_ref(arguments.dataset)
    name, version = quote(ref.name, safe=""), quote(ref.version, safe="")
    return client.in_project(f"/api/v1/datasets/{name}/versions/{version}{end}")
