"""The code that a run on the server works on: git's own, or a snapshot of a folder as one archive."""

import gzip
import hashlib
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, cast

from agent.cli.flow.snapshot_listing import list_folder, list_work_tree, measure_entry
from agent.cli.local_files.checkout import Checkout, ask_git, find_checkout
from agent.errors import UsageError
from agent.spec.job import Source, SourceKind


def choose_source(kind: str | None, folder: Path) -> Source:
    """The source that `--source` names; without one: a snapshot of the work tree around `folder`, else none.

    A snapshot's `digest` is still empty; `write_snapshot` gives it. Raises UsageError when `git` was asked for and
    the work tree has no remote, no commit, or a commit that the remote's branches don't have.
    """
    checkout = find_checkout(folder) if kind != "none" else None
    if kind == "none" or (kind is None and checkout is None):
        return Source()
    if kind == "git":
        return _git_source(checkout, folder)
    if checkout is None:
        return Source(SourceKind.SNAPSHOT)
    return Source(SourceKind.SNAPSHOT, url=checkout.url, ref=checkout.ref, commit=checkout.commit)


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A file, link or empty folder (`lib/`) of a snapshot: its path below the top, and its bytes; those of a link count as none."""

    name: str
    size_bytes: int


def list_snapshot(folder: Path, excluded: Sequence[str] = ()) -> tuple[Path, list[SnapshotFile]]:
    """The top of the work tree around `folder` (or the folder, outside of git), and what a snapshot of it has.

    What git ignores stays out; what is not committed yet is in. `excluded` are patterns of paths below the top, or of
    single names; a folder's pattern takes out all that is in it. Raises UsageError for what can't be sent, with its name.
    """
    checkout = find_checkout(folder)
    top = checkout.top if checkout else folder
    list_names = list_work_tree if checkout else list_folder
    names = list_names(top, partial(is_excluded, patterns=excluded))
    return top, [SnapshotFile(name, measure_entry(top, name)) for name in sorted(names)]


def write_snapshot(
    top: Path,
    files: Sequence[SnapshotFile],
    archive: Path,
    on_bytes: Callable[[int], object] = lambda _size: None,
) -> str:
    """Write `files` below `top` to `archive`; give its `sha256:` digest. `on_bytes` is told of each file's bytes.

    The archive depends on names, modes and contents only, so that the same tree is uploaded once.
    """
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for one in files:
            _add(tar, top, one.name, on_bytes)
    with archive.open("rb") as written:
        return "sha256:" + hashlib.file_digest(written, "sha256").hexdigest()


def _git_source(checkout: Checkout | None, folder: Path) -> Source:
    if checkout is None or not checkout.url or not checkout.commit:
        raise UsageError(
            "--source git needs a git work tree with a remote 'origin' and a commit",
            where=str(folder),
            hint="use --source snapshot to send the files as they are",
        )
    if not ask_git(checkout.top, "branch", "-r", "--contains", checkout.commit):
        raise UsageError(
            f"commit {checkout.commit[:12]} is on no branch of 'origin'",
            where=str(checkout.top),
            hint="push it first, or use --source snapshot",
        )
    return Source(SourceKind.GIT, url=checkout.url, ref=checkout.ref, commit=checkout.commit)


def is_excluded(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns takes the path out of a snapshot."""
    path = PurePosixPath(name)
    paths = (path, *(parent for parent in path.parents if parent.name))
    return any(
        fnmatchcase(str(one), pattern.strip("/")) or fnmatchcase(one.name, pattern.strip("/"))
        for pattern in patterns
        for one in paths
    )


class _Counted:
    """A file that tells how much of it has been read."""

    def __init__(self, file: IO[bytes], on_bytes: Callable[[int], object]) -> None:
        self._file = file
        self._on_bytes = on_bytes

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._on_bytes(len(data))
        return data


def _add(tar: tarfile.TarFile, top: Path, name: str, on_bytes: Callable[[int], object]) -> None:
    path = top / name
    member = tar.gettarinfo(path, arcname=name)
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.mode & 0o100 else 0o644
    if not (member.isreg() or member.islnk()):  # a link, or a folder without anything in it
        tar.addfile(member)
        return
    member.type = tarfile.REGTYPE  # a second name of the same file is a file of its own
    member.linkname = ""
    with path.open("rb") as file:
        member.size = os.fstat(file.fileno()).st_size
        tar.addfile(member, cast("IO[bytes]", _Counted(file, on_bytes)))
