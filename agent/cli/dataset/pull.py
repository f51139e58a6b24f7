"""`agent dataset pull`: a version of a dataset becomes a folder, which is there when all of it is, and each file is right.

    .NAME.pulling/     beside the folder, while it is made; a pull that was broken off goes on in it
        lock           held by who is at it
        parts/HEX      a file that is coming
        tree/PATH      a file that has come

Paths come from the server and are checked here once more: nothing is written outside of the tree.
"""

import contextlib
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agent.cli.client import Client
from agent.cli.terminal.progress import Progress
from agent.cli.transfers import do_all, fetch_rest, has_digest, try_patiently
from agent.errors import DamagedError, UsageError
from agent.spec.dataset import DatasetRef, ManifestDigest, ManifestFile, check_file
from agent.trees import remove_tree, walk_tree


@dataclass(frozen=True, slots=True)
class Pulled:
    """The version as the server shows it, and how many bytes came for it."""

    version: dict[str, Any]
    received_bytes: int


def pull_version(client: Client, ref: DatasetRef, folder: Path, *, shows: bool = True) -> Pulled:
    """Make `folder`, which must not be there or be empty, from the version that `ref` means.

    Raises UsageError for a folder that is not empty, DamagedError for what is not what the server said it is.
    """
    folder = folder.resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("the folder is not empty", where=str(folder), hint="pull into a new one")
    base = f"/api/v1/datasets/{quote(ref.name, safe='')}/versions"
    version = client.get(client.in_project(f"{base}/{quote(ref.version, safe='')}"))
    place = f"{base}/{version['version']}"
    files = _read_manifest(client, place, version["digest"])
    with _staging(folder) as staging:
        received = _Puller(client, place, staging, shows=shows).bring(files)
        _settle(staging / "tree", files)
        (staging / "tree").replace(folder)
        remove_tree(staging)
    return Pulled(version, received)


def _read_manifest(client: Client, place: str, digest: str) -> list[ManifestFile]:
    """The version's files, checked against the version's digest. Raises DamagedError."""
    listed = client.list_all(f"{place}/files", "files", most=sys.maxsize, project=client.project or None)
    manifest, files = ManifestDigest(), []
    for entry in listed:
        file = ManifestFile(entry["path"], entry["size_bytes"], entry["digest"], entry["mode"])
        manifest.add(check_file(file))
        files.append(file)
    if manifest.text() != digest:
        raise DamagedError("the list of files is not the version's", where=place)
    return files


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """The folder in which `folder` is made; kept when something fails. Raises UsageError when another pull is at it."""
    staging = folder.with_name(f".{folder.name}.pulling")
    folder.parent.mkdir(parents=True, exist_ok=True)
    for path in (staging, staging / "parts", staging / "tree"):
        if path.is_symlink():
            raise UsageError("a link is where the files are to come", where=str(path), hint="remove it")
        path.mkdir(mode=0o700, exist_ok=True)
    with (staging / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError("another pull into this folder goes on", where=str(folder)) from None
        yield staging


class _Puller:
    """Brings the contents of a version."""

    def __init__(self, client: Client, place: str, staging: Path, *, shows: bool) -> None:
        self._client = client
        self._place = place
        self._parts, self._tree = staging / "parts", staging / "tree"
        self._shows = shows

    def bring(self, files: Sequence[ManifestFile]) -> int:
        """Put all files into the tree: how many bytes had to come."""
        _remove_others(self._tree, {file.path for file in files})
        by_content: dict[str, list[ManifestFile]] = {}
        for file in files:
            by_content.setdefault(file.digest, []).append(file)
        total = sum(group[0].size_bytes for group in by_content.values())
        received: list[int] = []
        with Progress("pull", total, sys.stderr, time.monotonic, shown=self._shows) as progress:

            def bring(group: Sequence[ManifestFile]) -> None:
                received.append(self._bring_content(group, progress))

            do_all(bring, by_content.values(), progress.stopping)
        return sum(received)

    def _bring_content(self, group: Sequence[ManifestFile], progress: Progress) -> int:
        """One content to all the paths that have it: how many bytes came."""
        file, came = group[0], 0
        targets = [self._tree / one.path for one in group]
        source = next((target for target in targets if _is_right(target, file)), None)
        if source is None:
            part = self._parts / file.digest.removeprefix("sha256:")
            came = self._download(file, part, progress)
            source = _make_room(targets[0])
            part.replace(source)
        else:
            progress.add(file.size_bytes)
        for target in targets:
            if target != source and not _is_right(target, file):
                shutil.copyfile(source, _make_room(target))
        return came

    def _download(self, file: ManifestFile, part: Path, progress: Progress) -> int:
        """Fetch what is missing of a part; one that turns out wrong is fetched anew, once."""
        if part.is_symlink():
            part.unlink()
        before = part.stat().st_size if part.exists() else 0
        progress.add(before)
        try_patiently(lambda: self._fetch_rest(file, part, progress), progress.stopping.wait)
        if not _is_right(part, file):
            if before == 0:
                part.unlink()
                raise DamagedError("the bytes that came are not the file's", where=file.path)
            progress.add(-part.stat().st_size)
            part.unlink()
            return self._download(file, part, progress)
        return file.size_bytes - before

    def _fetch_rest(self, file: ManifestFile, part: Path, progress: Progress) -> None:
        path = self._client.in_project(f"{self._place}/contents/{file.digest}")
        fetch_rest(self._client, path, part, file.size_bytes, progress.add, where=file.path)


def _settle(tree: Path, files: Sequence[ManifestFile]) -> None:
    """The modes that the version says, and no folder that only we may read."""
    mask = os.umask(0)
    os.umask(mask)
    for file in files:
        (tree / file.path).chmod(int(file.mode, 8) & ~mask)
    for folder, _below, _entries in walk_tree(tree):
        os.fchmod(folder, 0o777 & ~mask)


def _remove_others(tree: Path, paths: set[str]) -> None:
    """Take away what an earlier try, of another version perhaps, has left and what is not of this one."""
    folders: list[str] = []
    for folder, below, entries in walk_tree(tree):
        folders.append(below)
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_symlink() or not (entry.is_dir() or path in paths):
                os.unlink(entry.name, dir_fd=folder)
    for below in reversed(folders[1:]):  # the deepest first
        with contextlib.suppress(OSError):  # it is not empty
            (tree / below).rmdir()


def _make_room(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _is_right(path: Path, file: ManifestFile) -> bool:
    """Whether the file at `path` has the bytes."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    return has_digest(path, file.digest)
