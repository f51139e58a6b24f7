"""The plan of a copy of a folder, and its making: files with all their properties, quickly."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Tick = Callable[[int], None]  # told how many bytes are done, often; it may raise to end the copying

_CHUNK_BYTES = 32 << 20
_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's is
_NOT_SO = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}  # between these file systems


@dataclass(slots=True)
class CopyPlan:
    """What is to be copied of `source`. Names are text, relative to the copy; folders come before what is in them."""

    source: Path  # its links followed
    folders: dict[str, str] = field(default_factory=dict)  # where each is copied from
    files: dict[str, str] = field(
        default_factory=dict
    )  # likewise; links, pipes and what else is no folder too
    links: dict[str, str] = field(
        default_factory=dict
    )  # what they say where it is not what the original says
    written: dict[str, bytes] = field(
        default_factory=dict
    )  # the content of files that differ from the original
    left_out: list[str] = field(default_factory=list)  # what git ignores, as far as it was come upon
    warnings: list[str] = field(default_factory=list)
    size_bytes: int = 0


def copy_planned(plan: CopyPlan, target: Path, tick: Tick) -> None:
    """Make `target`, which must not exist, the copy. Raises OSError. What has gone meanwhile is passed over."""
    target.mkdir(parents=True)
    for name in plan.folders:
        (target / name).mkdir(mode=0o700)
    for name, source in plan.files.items():
        tick(0)
        _copy_entry(source, f"{target}/{name}", tick)
    for name, text in plan.links.items():
        (target / name).symlink_to(text)
    for name, content in plan.written.items():
        (target / name).write_bytes(content)
    for name, source in reversed(plan.folders.items()):
        with contextlib.suppress(FileNotFoundError):
            _copy_properties(source, f"{target}/{name}")
    _copy_properties(str(plan.source), str(target))


def _copy_entry(source: str, target: str, tick: Tick) -> None:
    """Copy what is no folder. Sockets and devices are nobody's files."""
    try:
        status = os.lstat(source)
        if stat.S_ISREG(status.st_mode):
            _copy_file(source, target, tick)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(source), target)  # noqa: PTH115, PTH211 - many paths, and each is text
            _copy_properties(source, target)
        elif stat.S_ISFIFO(status.st_mode):
            os.mkfifo(target)
            _copy_properties(source, target)
    except FileNotFoundError:
        if os.path.lexists(source):
            raise


def _copy_properties(source: str, target: str) -> None:
    """Mode, times and extended attributes of what is no file; the owner too, where this user may."""
    if os.geteuid() == 0:
        status = os.lstat(source)
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    shutil.copystat(source, target, follow_symlinks=False)


def _copy_file(source: str, target: str, tick: Tick) -> None:
    """Copy a file as `_copy_properties` does, with few calls: there are many files."""
    reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            status = os.fstat(reading)
            _copy_content(reading, writing, status, tick)
            for name in os.listxattr(reading):
                with contextlib.suppress(OSError):  # as `cp -a`: what that file system does not take
                    os.setxattr(writing, name, os.getxattr(reading, name))
            if os.geteuid() == 0 and (status.st_uid or status.st_gid):
                os.fchown(writing, status.st_uid, status.st_gid)
            os.fchmod(writing, stat.S_IMODE(status.st_mode))
            os.utime(writing, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy_content(reading: int, writing: int, status: os.stat_result, tick: Tick) -> None:
    """Copy the bytes of a file. Blocks are shared where the file system can; holes stay holes."""
    if status.st_blocks * _BLOCK_BYTES >= status.st_size:
        _copy_range(reading, writing, 0, status.st_size, tick)
        return
    os.ftruncate(writing, status.st_size)
    for start, end in _find_data(reading, status.st_size):
        _copy_range(reading, writing, start, end, tick)


def _find_data(file: int, size: int) -> Iterator[tuple[int, int]]:
    """(start, end) of what is written in the file."""
    end = 0
    while end < size:
        try:
            start = os.lseek(file, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(file, start, os.SEEK_HOLE)
        yield start, end


def _copy_range(reading: int, writing: int, start: int, end: int, tick: Tick) -> None:
    in_kernel = True
    while start < end:
        length = min(end - start, _CHUNK_BYTES)
        try:
            if in_kernel:
                done = os.copy_file_range(reading, writing, length, start, start)
            else:
                done = os.pwrite(writing, os.pread(reading, length, start), start)
        except OSError as error:
            if not in_kernel or error.errno not in _NOT_SO:
                raise
            in_kernel = False
            continue
        if done == 0:  # somebody cut it short meanwhile
            return
        start += done
        tick(done)
