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

from agent.errors import SpoiledError
from agent.plain_files import read_plain
from agent.seal.files import write_private_file
from agent.trees import remove_tree

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
    for path, facts in _walk(folder):
        is_link = stat.S_ISLNK(facts.st_mode)
        content = os.readlink(path).encode("utf-8", "surrogateescape") if is_link else b""  # noqa: PTH115
        if stat.S_ISREG(facts.st_mode):
            with open(path, "rb") as file:  # noqa: PTH123 - a text, not a Path
                content = hashlib.file_digest(file, "sha256").digest()
        name = os.path.relpath(path, folder)
        digest.update(f"{name}\0{stat.S_IFMT(facts.st_mode)}\0".encode("utf-8", "surrogateescape"))
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()


def _seal_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.seal")


def _take(folder: Path) -> bytes:
    digest = hashlib.sha256()
    for path, facts in _walk(folder):
        link = os.readlink(path) if stat.S_ISLNK(facts.st_mode) else ""  # noqa: PTH115
        parts = (path, facts.st_mode, facts.st_uid, facts.st_size, facts.st_ino, facts.st_ctime_ns, link)
        digest.update("\0".join(map(str, parts)).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest().encode()


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """The folder and all that is below it, each with its own facts, in an order that is always the same. Links are not followed."""
    yield str(folder), folder.lstat()
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders.sort()
        for name in sorted((*folders, *files)):
            path = os.path.join(parent, name)  # noqa: PTH118 - a Path each would cost more
            yield path, os.lstat(path)


def _refuse(error: OSError) -> None:
    raise error


def _protect(folder: Path) -> None:
    """Files become read-only as a reminder; folders do not, so that `rm -rf` needs no tricks."""
    for path, facts in list(_walk(folder)):
        if stat.S_ISREG(facts.st_mode):
            os.chmod(path, stat.S_IMODE(facts.st_mode) & ~_WRITABLE)  # noqa: PTH101
