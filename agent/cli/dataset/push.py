"""`agent dataset push`: a folder becomes the next version of a dataset.

What the server has already is not sent. A push that was broken off, however hard, sends only the rest when it is repeated.
"""

import itertools
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent.cli.client import Client
from agent.cli.dataset.folder_scan import ScannedFile, hash_file, scan_folder
from agent.cli.terminal.progress import Progress
from agent.cli.transfers import do_all, send_file, try_patiently
from agent.errors import AgentError
from agent.spec.dataset import ManifestDigest, ManifestFile

_FILES_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Push:
    """What is to be said of the version. `always`: also when the newest version has the same files."""

    message: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    tags: Sequence[str] = ()
    always: bool = False
    follows_links: bool = False


@dataclass(frozen=True, slots=True)
class Pushed:
    """The version as the server shows it, whether it is new, and how many bytes were sent for it."""

    version: dict[str, Any]
    is_new: bool
    sent_bytes: int


def push_folder(client: Client, folder: Path, name: str, push: Push, *, shows: bool = True) -> Pushed:
    """Push `folder` as the next version of the dataset `name`. `shows`: draw how far it has come, on a terminal."""
    base = f"/api/v1/datasets/{quote(name, safe='')}"
    client.get(client.in_project(base))  # it must be there: nothing is hashed for a name that was mistyped
    files = _hash_all(scan_folder(folder, follows_links=push.follows_links), shows=shows)
    manifest = ManifestDigest()
    for file in files.values():
        manifest.add(file)
    draft = try_patiently(
        lambda: client.post(
            client.in_project(f"{base}/drafts"), {"message": push.message, "metadata": push.metadata}
        )
    )["draft"]
    place = f"{base}/drafts/{draft}"
    sent_bytes = _send_missing(client, place, _name_all(client, place, files), shows=shows)
    body = {"digest": manifest.text(), "tags": list(push.tags), "unless_same": not push.always}
    version, is_new = try_patiently(lambda: client.post_new(client.in_project(f"{place}/commit"), body))
    return Pushed(version, is_new, sent_bytes)


def _hash_all(found: Sequence[ScannedFile], *, shows: bool) -> dict[Path, ManifestFile]:
    hashed: dict[ScannedFile, ManifestFile] = {}
    total = sum(file.size_bytes for file in found)
    with Progress("read", total, sys.stderr, time.monotonic, shown=shows) as progress:

        def hash_one(file: ScannedFile) -> None:
            hashed[file] = hash_file(file, progress.add)

        do_all(hash_one, found, progress.stopping, at_once=os.cpu_count() or 1)
    return {file.source: hashed[file] for file in found}


def _name_all(
    client: Client, place: str, files: dict[Path, ManifestFile]
) -> dict[str, tuple[Path, ManifestFile]]:
    """Name the files of the draft: those whose contents are missing, one for each content."""
    missing: dict[str, tuple[Path, ManifestFile]] = {}
    left = iter(files.items())
    while batch := list(itertools.islice(left, _FILES_AT_ONCE)):
        wanted = _name_some(client, place, [file for _, file in batch])
        missing |= {file.digest: (source, file) for source, file in batch if file.digest in wanted}
    return missing


def _name_some(client: Client, place: str, files: Sequence[ManifestFile]) -> set[str]:
    named = [
        {"path": file.path, "size_bytes": file.size_bytes, "digest": file.digest, "mode": file.mode}
        for file in files
    ]
    answer = try_patiently(lambda: client.post(client.in_project(f"{place}/files"), {"files": named}))
    return set(answer["missing"])


def _send_missing(
    client: Client, place: str, missing: dict[str, tuple[Path, ManifestFile]], *, shows: bool
) -> int:
    total = sum(file.size_bytes for _, file in missing.values())
    with Progress("push", total, sys.stderr, time.monotonic, shown=shows) as progress:

        def send(one: tuple[Path, ManifestFile]) -> None:
            source, file = one
            path = client.in_project(f"{place}/contents/{file.digest}")
            try_patiently(lambda: _send_once(client, path, source, progress.add), progress.stopping.wait)

        do_all(send, missing.values(), progress.stopping)
    return total


def _send_once(client: Client, path: str, source: Path, on_bytes: Callable[[int], None]) -> None:
    try:
        send_file(client, path, source, on_bytes)
    except AgentError as error:
        if "have the digest" in error.what:
            raise AgentError(
                "the file was changed while it was pushed", where=str(source), hint="push it again"
            ) from None
        raise
