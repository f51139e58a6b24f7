"""`agent artifact`: what runs brought back."""

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, urlencode

from agent.cli.arguments import add_command, add_format, add_server, add_subcommands, describe, read_run
from agent.cli.artifact_download import DownloadRequest, download_artifacts
from agent.cli.client import Client, connect
from agent.cli.terminal.progress import Progress, size_text
from agent.cli.terminal.tables import plain, print_json, print_table
from agent.cli.terminal.times import show_moment
from agent.cli.transfers import hash_file, send_file, try_patiently
from agent.errors import NotFoundError, RefusedError, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    describe(parser, "List, download and upload artifacts.", "agent artifact download 12 model --dir out")
    commands = add_subcommands(parser)
    listing = add_command(commands, "list", _list, "The artifacts of a run.", "agent artifact list 12")
    download = add_command(
        commands,
        "download",
        _download,
        "Download artifacts of a run, each into a folder of its name.",
        "agent artifact download 12 model --dir out",
    )
    upload = add_command(
        commands,
        "upload",
        _upload,
        "Add a file to a run as an artifact.",
        "agent artifact upload 12 report.html",
    )
    for command in (listing, download, upload):
        command.add_argument("run", type=read_run, metavar="RUN")
        add_format(command)
        add_server(command)
    add_download(download)
    download.add_argument("name", nargs="?", metavar="NAME", help="only this one (default: all)")
    upload.add_argument("file", type=Path, metavar="FILE")
    upload.add_argument("--name", help="another name than the file's")
    upload.add_argument("--overwrite", action="store_true", help="replace an artifact of the same name")


def _list(arguments: argparse.Namespace) -> int:
    client = connect(url=arguments.url, token=arguments.token)
    artifacts = client.list_all(f"/api/v1/runs/{arguments.run}/artifacts", "artifacts")
    if arguments.format == "json":
        print_json(artifacts, sys.stdout)
        return 0
    rows = [
        [
            entry["id"],
            entry["name"],
            size_text(entry["size_bytes"]),
            show_moment(entry["created"], sys.stdout),
        ]
        for entry in artifacts
    ]
    print_table(["id", "name", "size", "created"], rows, sys.stdout)
    return 0


def _download(arguments: argparse.Namespace) -> int:
    client = connect(url=arguments.url, token=arguments.token)
    return download_artifacts(client, arguments.run, read_download(arguments), arguments.format, sys.stdout)


def add_download(parser: argparse.ArgumentParser) -> None:
    """Where to, and how, as `read_download` reads it."""
    parser.add_argument("--dir", type=Path, default=Path(), help="where to (default: .)")
    parser.add_argument(
        "--zip", "--keep-zip", action="store_true", help="leave each as NAME.zip instead of a folder NAME"
    )
    parser.add_argument("--force", action="store_true", help="write over files that are there")


def read_download(arguments: argparse.Namespace) -> DownloadRequest:
    """What is to be downloaded: one by `name`, where there is such an argument, or all."""
    name = getattr(arguments, "name", None)
    return DownloadRequest(name, arguments.dir, is_zipped=arguments.zip, is_forced=arguments.force)


def _upload(arguments: argparse.Namespace) -> int:
    file: Path = arguments.file
    if file.is_dir():
        raise UsageError(
            "an artifact is one file, and this is a folder", where=str(file), hint="pack it first: tar, zip"
        )
    if not file.is_file():
        raise NotFoundError("there is no such file", where=str(file))
    name = arguments.name or file.name
    client = connect(url=arguments.url, token=arguments.token)
    digest = upload_artifact(
        client, arguments.run, file, name, overwrites=arguments.overwrite, shows=arguments.format == "text"
    )
    if arguments.format == "json":
        print_json(
            {"run": arguments.run, "name": name, "size_bytes": file.stat().st_size, "digest": digest},
            sys.stdout,
        )
    else:
        sys.stderr.write(f"{plain(name)} is an artifact of run {arguments.run}\n")
    return 0


def upload_artifact(
    client: Client,
    run: int,
    file: Path,
    name: str,
    *,
    overwrites: bool = False,
    shows: bool = True,
    noted: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Add `file` to the run as the artifact `name`; its digest. A cut is tried again. Raises RefusedError for a name that is taken.

    `noted` says of the zip of a tree where it lies for who is brought it.
    """
    digest = hash_file(file)
    query = urlencode({"digest": digest, "overwrite": "true" if overwrites else "false", **noted})
    path = f"/api/v1/runs/{run}/artifacts/{quote(name, safe='')}?{query}"
    tries = 0
    with Progress(name, file.stat().st_size, sys.stderr, time.monotonic, shown=shows) as progress:

        def send() -> None:
            nonlocal tries
            tries += 1
            try:
                send_file(client, path, file, progress.add)
            except RefusedError:
                if tries == 1 or not _is_there(client, run, name, digest):
                    raise  # else it was the answer to an earlier try that was lost

        try_patiently(send)
    return digest


def _is_there(client: Client, run: int, name: str, digest: str) -> bool:
    artifacts = client.list_all(f"/api/v1/runs/{run}/artifacts", "artifacts")
    return any((artifact["name"], artifact["digest"]) == (name, digest) for artifact in artifacts)
