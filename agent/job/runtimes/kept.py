"""Kept environments, made once for all jobs of the machine: virtual environments of Python actions, and node.

A job may reach them, so none is believed: beside FOLDER stands `FOLDER.seal`, taken when it was complete, and what does not
fit its seal any more is thrown away and made again. The seal is over each entry's name, kind, rights, size, inode, link and
time of last change (ctime, which only the kernel sets): it needs a second for a hundred thousand files, and no byte of them.
"""

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from agent.errors import SpoiledError
from agent.plain_files import read_plain
from agent.seal.files import write_private_file
from agent.trees import remove_tree, walk_tree

_WRITABLE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def keep(folder: Path, make: Callable[[], None]) -> None:
    """See to it that `folder` is as `make`, which makes it, once left it. Jobs that want it at once wait for one making."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(
        folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
    )
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_kept(folder):
            seal = _seal_of(folder)
            remove_tree(seal)
            remove_tree(folder)
            make()
            _protect(folder)
            write_private_file(seal, _take(folder))
            seal.chmod(0o644)  # a job of another user looks, too
    finally:
        os.close(lock)


def is_kept(folder: Path) -> bool:
    """Whether `folder` is there, and is what `keep` left."""
    try:
        return read_plain(_seal_of(folder), 1 << 10) == _take(folder)
    except (OSError, SpoiledError):
        return False


@contextlib.contextmanager
def clean_home(near: Path, environment: Mapping[str, str], *, is_needed: bool) -> Iterator[dict[str, str]]:
    """`environment` with an empty HOME: the job's own may tell pip to take packages from elsewhere, for the jobs to come too."""
    if not is_needed:
        yield dict(environment)
        return
    near.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix=".home-", dir=near))
    try:
        yield {**environment, "HOME": str(home)}
    finally:
        remove_tree(home)


def digest_tree(folder: Path) -> str:
    """The SHA-256 of all that is below `folder`: names, links and bytes."""
    digest = hashlib.sha256()
    for thing in _walk(folder):
        content = thing.link.encode("utf-8", "surrogateescape")
        if stat.S_ISREG(thing.facts.st_mode):
            file = os.open(thing.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=thing.parent)
            with os.fdopen(file, "rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
        name = thing.below or "."
        digest.update(f"{name}\0{stat.S_IFMT(thing.facts.st_mode)}\0".encode("utf-8", "surrogateescape"))
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def _seal_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.seal")


def _take(folder: Path) -> bytes:
    digest = hashlib.sha256()
    for thing in _walk(folder):
        path = f"{folder}/{thing.below}" if thing.below else str(folder)
        facts = thing.facts
        parts = (
            *(path, facts.st_mode, facts.st_uid, facts.st_size, facts.st_ino, facts.st_ctime_ns),
            thing.link,
        )
        digest.update("\0".join(map(str, parts)).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest().encode()


class _Thing(NamedTuple):
    """A file, folder or link: its path `below` the top, the open folder that it lies in, its facts, and where it leads to."""

    below: str
    parent: int
    name: str
    facts: os.stat_result
    link: str = ""


def _walk(folder: Path) -> Iterator[_Thing]:
    """The folder and all that is below it, in an order that is always the same, however deep it is: a job may have been in
    there. Links are not followed.
    """
    yield _Thing("", -1, "", folder.lstat())
    for parent, below, entries in walk_tree(folder):
        for entry in entries:
            facts = entry.stat(follow_symlinks=False)
            link = os.readlink(entry.name, dir_fd=parent) if entry.is_symlink() else ""
            path = f"{below}/{entry.name}" if below else entry.name
            yield _Thing(path, parent, entry.name, facts, link)


def _protect(folder: Path) -> None:
    """Files become read-only as a reminder; folders do not, so that `rm -rf` needs no tricks."""
    for thing in _walk(folder):
        if stat.S_ISREG(thing.facts.st_mode):
            os.chmod(thing.name, stat.S_IMODE(thing.facts.st_mode) & ~_WRITABLE, dir_fd=thing.parent)
