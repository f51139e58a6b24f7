"""`agent artifact`: what runs brought back."""

import argparse
import hashlib
import re
import sys
from pathlib import Path
from typing import TextIO

from agent.cli.arguments import add_command, add_format, add_server, add_subcommands, describe, read_number
from agent.cli.client import Client, connect
from agent.cli.progress import size_text
from agent.cli.tables import print_json, print_table
from agent.cli.times import show_moment
from agent.errors import AgentError, NotFoundError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    describe(parser, "List, download and upload artifacts.", "agent artifact download 12 model --dir out")
    commands = add_subcommands(parser)
    listing = add_command(commands, "list", _list, "The artifacts of a run.", "agent artifact list 12")
    download = add_command(
        commands,
        "download",
        _download,
        "Download artifacts of a run.",
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
        command.add_argument("run", type=read_number, metavar="RUN")
        add_format(command)
        add_server(command)
    download.add_argument("name", nargs="?", metavar="NAME", help="only this one (default: all)")
    upload.add_argument("file", type=Path, metavar="FILE")
    upload.add_argument("--name", help="another name than the file's")
    upload.add_argument("--overwrite", action="store_true", help="replace an artifact of the same name")
    download.add_argument("--dir", type=Path, default=Path(), help="where to (default: .)")


def download_artifacts(
    client: Client, run: int, name: str | None, folder: Path, output_format: str, out: TextIO
) -> int:
    """Download the run's artifacts into `folder`, each as `NAME.zip`, or under its own name when it is one file.

    Raises NotFoundError when the run has none, or none of that name.
    """
    artifacts = client.list_all(f"/api/v1/runs/{run}/artifacts", "artifacts")
    wanted = [artifact for artifact in artifacts if name in (None, artifact["name"])]
    if not wanted:
        known = ", ".join(artifact["name"] for artifact in artifacts) or "none"
        what = f"the run has no artifact '{name}'" if name else "the run has no artifacts"
        raise NotFoundError(what, where=f"run {run}", hint=f"it has {known}" if name else "")
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for artifact in wanted:
        file = folder / _file_name(artifact["name"], artifact["mime_type"])
        client.download(f"/api/v1/artifacts/{artifact['id']}/download", file)
        files.append(str(file))
        if output_format == "text":
            out.write(f"{file}  {artifact['size_bytes']} bytes\n")
    if output_format == "json":
        print_json(files, out)
    return 0


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
    return download_artifacts(
        client, arguments.run, arguments.name, arguments.dir, arguments.format, sys.stdout
    )


def _upload(arguments: argparse.Namespace) -> int:
    from urllib.parse import quote, urlencode

    file: Path = arguments.file
    if not file.is_file():
        raise NotFoundError("there is no such file", where=str(file))
    with file.open("rb") as content:
        digest = f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
    query = urlencode({"digest": digest, "overwrite": "true" if arguments.overwrite else "false"})
    name = quote(arguments.name or file.name, safe="")
    client = connect(url=arguments.url, token=arguments.token)
    client.upload(f"/api/v1/runs/{arguments.run}/artifacts/{name}?{query}", file)
    sys.stderr.write(f"{arguments.name or file.name} is an artifact of run {arguments.run}\n")
    return 0


def _file_name(name: str, mime_type: str | None) -> str:
    """A name that stays in its folder: what the server says is not trusted."""
    if re.fullmatch(r"[^/\\\0]+", name) is None or name in (".", ".."):
        raise AgentError(
            f"the artifact's name {name!r} is not a file name", hint="download it from the web page"
        )
    return f"{name}.zip" if mime_type in (None, "", "application/zip") else name
