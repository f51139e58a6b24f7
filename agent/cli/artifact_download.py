"""Artifacts of a run become files here: each appears when all of it has come and is right, and takes no other file's place.

DIR/.download-XXXX/    while one is coming; gone at the end, whatever happens
DIR/NAME/              what was in the artifact's zip
DIR/NAME               an artifact that is one file
DIR/NAME.zip           with `is_zipped`
"""

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from agent.cli.client import Client
from agent.cli.terminal.progress import Progress, size_text
from agent.cli.terminal.tables import print_json
from agent.cli.transfers import fetch_rest, has_digest, try_patiently
from agent.cli.unpacking import bring_tree, unzip_into
from agent.errors import AgentError, DamagedError, NotFoundError, UsageError
from agent.trees import remove_tree

_ZIP_TYPES = (None, "", "application/zip")
_LONGEST_NAME_BYTES = 250


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """Which artifacts, where to, and how. `name` None: all. `is_zipped`: not unpacked. `is_forced`: over files that are there."""

    name: str | None = None
    folder: Path = Path()
    is_zipped: bool = False
    is_forced: bool = False


def download_artifacts(
    client: Client, run: int, asked: DownloadRequest, output_format: str, out: TextIO
) -> int:
    """Download artifacts of the run and say where they are.

    Raises NotFoundError when the run has none, or none of that name; UsageError, before anything is fetched, when a file is
    in the way; DamagedError for bytes that are not what the server said they are.
    """
    wanted = _find(client, run, asked.name)
    places = [_place(asked, artifact) for artifact in wanted]
    if not asked.is_forced:
        _check_free(places)
    asked.folder.mkdir(parents=True, exist_ok=True)
    total = sum(artifact["size_bytes"] for artifact in wanted)
    shows = output_format == "text"
    for artifact, place in zip(wanted, places, strict=True):
        with Progress(
            artifact["name"], artifact["size_bytes"], sys.stderr, time.monotonic, shown=shows
        ) as progress:
            count = _bring(client, artifact, place, asked, progress)
        if shows:
            files = "" if count is None else f"{count} file{'' if count == 1 else 's'}, "
            out.write(f"{place}  {files}{size_text(artifact['size_bytes'])}\n")
    if shows and len(wanted) > 1:
        out.write(f"{len(wanted)} artifacts, {size_text(total)}\n")
    if not shows:
        print_json([str(place) for place in places], out)
    return 0


def _find(client: Client, run: int, name: str | None) -> list[dict[str, Any]]:
    artifacts = client.list_all(f"/api/v1/runs/{run}/artifacts", "artifacts")
    wanted = [artifact for artifact in artifacts if name in (None, artifact["name"])]
    if not wanted:
        known = ", ".join(artifact["name"] for artifact in artifacts) or "none"
        what = f"the run has no artifact '{name}'" if name else "the run has no artifacts"
        raise NotFoundError(what, where=f"run {run}", hint=f"it has {known}" if name else "")
    return wanted


def _place(asked: DownloadRequest, artifact: dict[str, Any]) -> Path:
    """A place in the folder, whatever the name is: what the server says is not trusted."""
    name = artifact["name"]
    is_name = re.fullmatch(r"[^/\\\0]+", name) is not None and name not in (".", "..")
    if not is_name or len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        raise AgentError(
            f"the artifact's name {name!r} is not a file name", hint="download it from the web page"
        )
    return asked.folder / (f"{name}.zip" if asked.is_zipped and _is_zip(artifact) else name)


def _is_zip(artifact: dict[str, Any]) -> bool:
    return artifact["mime_type"] in _ZIP_TYPES


def _check_free(places: Sequence[Path]) -> None:
    for place in places:
        is_empty = place.is_dir() and not place.is_symlink() and not any(place.iterdir())
        if os.path.lexists(place) and not is_empty:
            raise UsageError(
                "it is there already, and nothing was downloaded",
                where=str(place),
                hint="name another folder with --dir, or --force to write over its files",
            )


def _bring(
    client: Client, artifact: dict[str, Any], place: Path, asked: DownloadRequest, progress: Progress
) -> int | None:
    """Put one artifact in its place; the number of its files when it was unpacked."""
    with _staging(asked.folder) as staging:
        if artifact.get("tree") and not asked.is_zipped:
            count = bring_tree(client, artifact, staging / "files", progress.add)
            _settle_folder(staging / "files", place)
            return count
        part = staging / "part"
        path = f"/api/v1/artifacts/{artifact['id']}/download"
        size, name = artifact["size_bytes"], artifact["name"]
        try_patiently(lambda: fetch_rest(client, path, part, size, progress.add, where=name))
        if artifact["digest"] and not has_digest(part, artifact["digest"]):
            raise DamagedError(
                "the bytes that came are not the artifact's", where=name, hint="download it again"
            )
        if asked.is_zipped or not _is_zip(artifact):
            _settle_file(part, place)
            return None
        count = unzip_into(part, staging / "files")
        part.unlink()
        _settle_folder(staging / "files", place)
        return count


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder of our own on the same file system. What the file system says against it is an AgentError."""
    staging = None
    try:
        staging = Path(tempfile.mkdtemp(prefix=".download-", dir=folder))
        yield staging
    except OSError as error:
        where = str(error.filename or folder)
        raise AgentError(f"it can't be written: {error.strerror or error}", where=where) from None
    finally:
        if staging is not None:
            remove_tree(staging)


def _settle_file(part: Path, place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        if any(place.iterdir()):
            raise UsageError("a folder is where the file is to be", where=str(place))
        place.rmdir()
    mask = os.umask(0)
    os.umask(mask)
    part.chmod(0o666 & ~mask)
    part.replace(place)


def _settle_folder(files: Path, place: Path) -> None:
    """All of `files` at `place`: as a whole where nothing is, else over files of the same name, and through no link."""
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise UsageError("something that is no folder is where the folder is to be", where=str(place))
    if not place.exists() or not any(place.iterdir()):
        files.replace(place)
        return
    _check_mergeable(files, place)
    _merge(files, place)


def _check_mergeable(files: Path, place: Path) -> None:
    """Raises UsageError before anything is moved when a folder or a link is in the way of a file, or a file of a folder."""
    for entry in files.iterdir():
        target = place / entry.name
        if not os.path.lexists(target):
            continue
        is_folder = target.is_dir() and not target.is_symlink()
        if is_folder != entry.is_dir():
            raise UsageError("it is in the way of the artifact's files", where=str(target), hint="remove it")
        if is_folder:
            _check_mergeable(entry, target)


def _merge(files: Path, place: Path) -> None:
    for entry in files.iterdir():
        target = place / entry.name
        if entry.is_dir() and target.is_dir():
            _merge(entry, target)
        else:
            entry.replace(target)
