"""The copy of a folder that one job works in: all but what git ignores, so that it is small.

Git says what it ignores; tracked files are never among it. A work tree within the folder (a submodule, another clone) is
asked by itself. Outside of git nothing is left out. The copy's `.git` is its own: that of a linked work tree, which lies
elsewhere, is brought along, so that nothing done in the copy reaches the folder's owner.
"""

import contextlib
import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

Tick = Callable[[int], None]  # told how many bytes are done, often; it may raise to end the copying

_CHUNK_BYTES = 32 << 20
_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's is
_NOT_SO = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}  # between these file systems
_MOST_NAMED = 3
_OWN_BY_LINK = {"commondir", "gitdir"}  # say where the rest of a linked work tree's `.git` lies


@dataclass(slots=True)
class CopyPlan:
    """What is to be copied from `source`. Paths are text, relative to it; folders come before what is in them."""

    source: Path
    folders: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)  # `.git` files whose repository lies elsewhere
    left_out: list[str] = field(default_factory=list)  # what git ignores, as far as it was come upon
    size_bytes: int = 0


def plan_copy(source: Path, *, with_ignored: bool = False, without: Iterable[Path] = ()) -> CopyPlan:
    """What a copy of `source` holds: nothing of the folders `without`, which change under our hands.

    Raises OSError for a folder that can't be read.
    """
    plan = CopyPlan(source)
    ours = {str(folder.relative_to(source)) for folder in without if folder.is_relative_to(source)}
    waiting = [_Look("", set() if with_ignored else _list_ignored(source), with_ignored)]
    while waiting:  # folders lie in one another deeper than calls may
        waiting += reversed(list(_look_into(plan, waiting.pop(), ours)))
    return plan


def copy_planned(plan: CopyPlan, target: Path, tick: Tick) -> None:
    """Make `target`, which must not exist, the copy. Raises OSError. What has gone meanwhile is passed over."""
    target.mkdir(parents=True)
    for name in plan.folders:
        (target / name).mkdir(mode=0o700)
    for name in plan.files:
        tick(0)
        _copy_entry(f"{plan.source}/{name}", f"{target}/{name}", tick)
    for name in plan.links:
        _bring_repository(plan.source / name, target / name, tick)
    for name in reversed(plan.folders):
        with contextlib.suppress(FileNotFoundError):
            _copy_properties(f"{plan.source}/{name}", f"{target}/{name}")
    _copy_properties(str(plan.source), str(target))


def name_some(paths: Sequence[str]) -> str:
    """The first of the paths, and how many more there are."""
    more = len(paths) - _MOST_NAMED
    return ", ".join(paths[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


class _Look(NamedTuple):
    """A folder that is still to be looked into, and what of the files in it is ignored."""

    name: str
    ignored: set[str]
    with_ignored: bool


def _look_into(plan: CopyPlan, look: _Look, ours: set[str]) -> Iterator[_Look]:
    """Plan what lies in a folder, which the plan has already. Gives the folders in it."""
    name, ignored, with_ignored = look
    prefix = f"{name}/" if name else ""
    entries = _list_entries(plan.source / name, may_be_gone=bool(name))
    if name and not with_ignored and any(entry.name == ".git" for entry in entries):
        ignored = {prefix + path for path in _list_ignored(plan.source / name)}
    for entry in entries:
        path = prefix + entry.name
        if path in ours:
            continue
        if path in ignored:
            plan.left_out.append(path)
        elif entry.is_dir(follow_symlinks=False):
            plan.folders.append(path)
            yield _Look(path, ignored, with_ignored or entry.name == ".git")
        elif entry.name == ".git" and _lies_elsewhere(plan.source, Path(entry.path)):
            plan.links.append(path)
        else:
            plan.files.append(path)
            with contextlib.suppress(FileNotFoundError):
                plan.size_bytes += entry.stat(follow_symlinks=False).st_size


def _list_entries(folder: Path, *, may_be_gone: bool) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as found:
            return list(found)
    except FileNotFoundError:
        if may_be_gone:
            return []
        raise


def _list_ignored(folder: Path) -> set[str]:
    """What git ignores in `folder`, relative to it: files, and folders in which everything is ignored."""
    listing = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"]
    listed = _ask_git(folder, *listing)
    names = {name.rstrip("/") for name in listed.split("\0") if name}
    return set() if "." in names else names  # somebody chose a folder that is ignored itself


def _ask_git(folder: Path, *arguments: str) -> str:
    """What git prints; nothing when it fails or is not installed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except FileNotFoundError:
        return ""
    return os.fsdecode(done.stdout) if done.returncode == 0 else ""


def _lies_elsewhere(source: Path, link: Path) -> bool:
    """Whether the `.git` file `link` leads out of the copy; a submodule's usually leads into the `.git` above it."""
    text = _read_link(link)
    return bool(text) and (text.startswith("/") or not _follow(link, text).is_relative_to(source.resolve()))


def _read_link(link: Path) -> str:
    """Where a `.git` file leads, as it is written (gitrepository-layout(5)); empty when it is none."""
    try:
        kind, _, text = link.read_text(encoding="utf-8", errors="surrogateescape").partition(": ")
    except OSError:
        return ""
    return text.strip() if kind == "gitdir" else ""


def _follow(link: Path, text: str) -> Path:
    return Path(os.path.realpath(link.parent / text))


def _bring_repository(link: Path, target: Path, tick: Tick) -> None:
    """Make the folder `target` of what the `.git` file `link` leads to: what all its work trees share, and its own."""
    own = _follow(link, _read_link(link))
    shared = own
    if (own / "commondir").is_file():
        shared = Path(os.path.realpath(own / (own / "commondir").read_text(encoding="utf-8").strip()))
    if not shared.is_dir():  # it is gone: the link is as dead as it was
        _copy_entry(str(link), str(target), tick)
        return
    if shared != own:
        _copy_tree(shared, target, {"worktrees", "HEAD", "index"}, tick)
    _copy_tree(own, target, _OWN_BY_LINK, tick)
    config = str(target / "config")
    _ask_git(target.parent, "config", "--file", config, "--unset-all", "core.worktree")
    _ask_git(target.parent, "config", "--file", config, "core.bare", "false")


def _copy_tree(source: Path, target: Path, without: set[str], tick: Tick) -> None:
    """Copy the folder `source` into `target`, over what is there, but for some of its entries."""
    target.mkdir(exist_ok=True)
    for entry in os.scandir(source):
        if entry.name in without:
            continue
        if entry.is_dir(follow_symlinks=False):
            _copy_tree(Path(entry.path), target / entry.name, set(), tick)
        else:
            (target / entry.name).unlink(missing_ok=True)
            _copy_entry(entry.path, str(target / entry.name), tick)


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
