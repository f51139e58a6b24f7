"""`agent dataset`: folders of files in versions that never change, and what was made from what."""

import argparse
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent.cli.arguments import (
    Handler,
    add_command,
    add_format,
    add_project,
    add_server,
    add_subcommands,
    describe,
    read_run,
    split_pair,
)
from agent.cli.client import Client, connect_from_job
from agent.cli.terminal.progress import size_text
from agent.cli.terminal.tables import plain, print_json, print_table
from agent.cli.terminal.times import show_moment
from agent.spec.dataset import DatasetRef, read_ref

_DATASETS = "/api/v1/datasets"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    describe(parser, "Datasets and their versions.", "agent dataset push data/ images --message 'new labels'")
    commands = add_subcommands(parser)
    _configure_looking(commands)
    _configure_changing(commands)


def _configure_looking(commands: Any) -> None:
    listing = add_command(
        commands, "list", _connected(_list), "The project's datasets.", "agent dataset list"
    )
    showing = add_command(
        commands,
        "show",
        _connected(_show),
        "A dataset and its versions, or one version and its files.",
        "agent dataset show images",
        "agent dataset show images:3",
    )
    lineage = add_command(
        commands,
        "lineage",
        _connected(_lineage),
        "Where a version comes from, and who has read it.",
        "agent dataset lineage images:3",
        "agent dataset lineage --run 12",
    )
    pulling = add_command(
        commands,
        "pull",
        _connected(_pull),
        "Make a folder from a version.",
        "agent dataset pull images:best data/",
    )
    for command in (showing, pulling):
        command.add_argument("ref", metavar="NAME[:VERSION]", help="the version: a number, a tag, or latest")
    pulling.add_argument("dir", type=Path, metavar="DIR", help="a new folder, or an empty one")
    lineage.add_argument("ref", nargs="?", metavar="NAME[:VERSION]", help="a version")
    lineage.add_argument("--run", type=read_run, metavar="N", help="what this run has read and made")
    _add_common(listing, showing, lineage, pulling)


def _configure_changing(commands: Any) -> None:
    creating = add_command(
        commands,
        "create",
        _connected(_create),
        "A new dataset.",
        "agent dataset create images --description 'street scenes'",
    )
    creating.add_argument("name", metavar="NAME")
    creating.add_argument("--description", default="", metavar="TEXT")
    pushing = add_command(
        commands,
        "push",
        _connected(_push),
        "Make a folder the next version; only what the server does not have is sent.",
        "agent dataset push data/ images --message 'new labels' --tag best",
    )
    pushing.add_argument("dir", type=Path, metavar="DIR")
    pushing.add_argument("name", metavar="NAME")
    pushing.add_argument("--message", default="", metavar="TEXT", help="what is new")
    pushing.add_argument("--tag", action="append", default=[], metavar="TAG", help="taken off other versions")
    pushing.add_argument(
        "--metadata", action="append", default=[], metavar="K=V", help="facts about the version"
    )
    pushing.add_argument("--create", action="store_true", help="make the dataset when there is none yet")
    pushing.add_argument("--always", action="store_true", help="also when the newest version is the same")
    pushing.add_argument("--follow-links", action="store_true", help="keep what symbolic links lead to")
    deleting = add_command(
        commands,
        "delete",
        _connected(_delete),
        "Delete a version, or a dataset with all its versions.",
        "agent dataset delete images:3",
    )
    deleting.add_argument("ref", metavar="NAME[:VERSION]", help="without a version: all of them")
    _add_common(creating, pushing, deleting)


def _add_common(*commands: argparse.ArgumentParser) -> None:
    for command in commands:
        add_project(command)
        add_format(command)
        add_server(command)


def _connected(work: Callable[[Client, argparse.Namespace], int]) -> Handler:
    """`work`, handed a client that is closed afterwards."""

    def handle(arguments: argparse.Namespace) -> int:
        found = connect_from_job(url=arguments.url, token=arguments.token, project=arguments.project)
        with closing(found) as client:
            return work(client, arguments)

    return handle


def _list(client: Client, arguments: argparse.Namespace) -> int:
    found = client.list_all(_DATASETS, "datasets", project=client.project or None)
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    rows = [
        [row["name"], *_version_cells(row["latest"]), _name_kind(row["latest"]), row["description"]]
        for row in found
    ]
    print_table(["name", "latest", "files", "size", "created", "kind", "description"], rows, sys.stdout)
    return 0


def _name_kind(version: dict[str, Any] | None) -> str:
    """`model` and its type, of one that was made as a model."""
    kind = (version or {}).get("metadata", {}).get("model_type")
    return f"model ({kind})" if isinstance(kind, str) else ""


def _version_cells(version: dict[str, Any] | None) -> list[object]:
    if version is None:
        return ["-", "", "", ""]
    return [
        version["version"],
        version["files"],
        size_text(version["size_bytes"]),
        show_moment(version["created"], sys.stdout),
    ]


def _show(client: Client, arguments: argparse.Namespace) -> int:
    ref = read_ref(arguments.ref)
    if ":" in arguments.ref:
        return _show_version(client, ref, arguments.format)
    dataset = client.get(client.in_project(_path(ref.name)))
    versions = client.list_all(f"{_path(ref.name)}/versions", "versions", project=client.project or None)
    if arguments.format == "json":
        print_json({**dataset, "versions": versions}, sys.stdout)
        return 0
    if dataset["description"]:
        sys.stdout.write(f"{plain(dataset['description'])}\n")
    rows = [
        [*_version_cells(row), " ".join(row["tags"]), row["run"] or "", row["actor"], row["message"]]
        for row in versions
    ]
    titles = ["version", "files", "size", "created", "tags", "run", "by", "message"]
    print_table(titles, rows, sys.stdout)
    return 0


def _show_version(client: Client, ref: DatasetRef, output_format: str) -> int:
    path = _version_path(ref)
    version = client.get(client.in_project(path))
    files = client.list_all(f"{path}/files", "files", most=sys.maxsize, project=client.project or None)
    if output_format == "json":
        print_json({**version, "contents": files}, sys.stdout)
        return 0
    tags = f"  ({', '.join(version['tags'])})" if version["tags"] else ""
    size = size_text(version["size_bytes"])
    sys.stdout.write(
        f"{version['ref']}{tags}  {version['files']} files, {size}  {plain(version['message'])}\n"
    )
    rows = [[file["path"], size_text(file["size_bytes"]), file["mode"], file["digest"]] for file in files]
    print_table(["path", "size", "mode", "digest"], rows, sys.stdout)
    return 0


def _lineage(client: Client, arguments: argparse.Namespace) -> int:
    from agent.errors import UsageError

    if (arguments.ref is None) == (arguments.run is None):
        raise UsageError("lineage is of a version or of a run", hint="name one: images:3, or --run 12")
    if arguments.run is not None:
        uses = client.list_all(f"/api/v1/runs/{arguments.run}/datasets", "datasets")
        found: Any = uses
    else:
        found, uses = _lineage_of(client, read_ref(arguments.ref))
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    if arguments.run is None:
        version = found["version"]
        maker = f"run {version['run']}, {version['job']}" if version["run"] else version["actor"]
        sys.stdout.write(f"{version['ref']} was made by {plain(maker)}\n")
    rows = [
        [row["direction"], row["ref"], row["run"], row["job"], show_moment(row["time"], sys.stdout)]
        for row in uses
    ]
    print_table(["", "version", "run", "job", "time"], rows, sys.stdout)
    return 0


def _lineage_of(client: Client, ref: DatasetRef) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The whole answer, and its rows for a table: what it was made from, then who has read it."""
    project = client.project or None
    first = client.get(f"{_version_path(ref)}/lineage", project=project)
    pinned = DatasetRef(ref.name, str(first["version"]["version"]))
    readers = client.list_all(f"{_version_path(pinned)}/lineage", "readers", project=project)
    found = {"version": first["version"], "inputs": first["inputs"], "readers": readers}
    return found, [*({**row, "direction": "made from"} for row in first["inputs"]), *readers]


def _create(client: Client, arguments: argparse.Namespace) -> int:
    body = {"name": arguments.name, "description": arguments.description}
    made = client.post(client.in_project(_DATASETS), body)
    if arguments.format == "json":
        print_json(made, sys.stdout)
    else:
        sys.stderr.write(
            f"dataset {made['name']} is there; `agent dataset push DIR {made['name']}` fills it\n"
        )
    return 0


def _push(client: Client, arguments: argparse.Namespace) -> int:
    from agent.cli.dataset.push import Push, push_folder
    from agent.errors import NotFoundError

    if arguments.create:
        try:
            client.get(client.in_project(_path(arguments.name)))
        except NotFoundError:
            client.post(client.in_project(_DATASETS), {"name": arguments.name})
    metadata = dict(split_pair(pair, "--metadata") for pair in arguments.metadata)
    push = Push(
        arguments.message, metadata, arguments.tag, arguments.always, follows_links=arguments.follow_links
    )
    done = push_folder(client, arguments.dir, arguments.name, push, shows=arguments.format == "text")
    version = done.version
    if arguments.format == "json":
        print_json({**version, "is_new": done.is_new, "sent_bytes": done.sent_bytes}, sys.stdout)
        return 0
    size, sent = size_text(version["size_bytes"]), size_text(done.sent_bytes)
    if done.is_new:
        sys.stderr.write(f"{version['ref']}: {version['files']} files, {size}; {sent} sent\n")
    else:
        sys.stderr.write(f"{version['ref']} has these files already: no new version (--always makes one)\n")
    return 0


def _pull(client: Client, arguments: argparse.Namespace) -> int:
    from agent.cli.dataset.pull import pull_version

    ref = read_ref(arguments.ref)
    done = pull_version(client, ref, arguments.dir, shows=arguments.format == "text")
    version = done.version
    if arguments.format == "json":
        print_json({**version, "received_bytes": done.received_bytes}, sys.stdout)
        return 0
    size, came = size_text(version["size_bytes"]), size_text(done.received_bytes)
    sys.stderr.write(
        f"{version['ref']} is in {arguments.dir}: {version['files']} files, {size}; {came} received\n"
    )
    return 0


def _delete(client: Client, arguments: argparse.Namespace) -> int:
    ref = read_ref(arguments.ref)
    is_version = ":" in arguments.ref
    client.delete(client.in_project(_version_path(ref) if is_version else _path(ref.name)))
    sys.stderr.write(f"{arguments.ref} is deleted\n")
    return 0


def _path(name: str) -> str:
    return f"{_DATASETS}/{quote(name, safe='')}"


def _version_path(ref: DatasetRef) -> str:
    return f"{_path(ref.name)}/versions/{quote(ref.version, safe='')}"
