"""Trees of files that somebody else has made: removed, or looked through, whatever they did to them.

Everything goes by open folders and single names, never by a path: no link is followed, no path is too long, and what is
swapped meanwhile is not reached. Depth costs nothing: a folder's subfolders are moved up into the tree's top before they
are emptied, so that no recursion, no descriptor and no path grows with it; nor does memory with the number of files.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_MOST_NAMED = 3
_MOST_WAITING = 32_768  # folders that were moved up and are not empty yet; beyond them one is moved at a time
_MOST_SHOWN = 200  # characters of a path that is told
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Remains:
    """What could not be removed: how many things, and the first few with the reason. False when there is nothing."""

    count: int = 0
    named: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.count > 0

    def __str__(self) -> str:
        more = self.count - len(self.named)
        return "; ".join(self.named) + (f"; and {more} more" if more > 0 else "")


def remove_tree(path: Path) -> Remains:
    """Remove `path` with all below it; nothing happens when it is not there.

    Folders that their owner made unusable are opened up. What can't go (it is somebody else's, immutable, or a file
    system is mounted there: that is left as it is) stops nothing else. Never raises an OSError.
    """
    with contextlib.ExitStack() as opened:
        try:
            parent = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return Remains()
        except OSError as error:
            return Remains(1, (f"{path}: {error.strerror}",))
        opened.callback(os.close, parent)
        removal = _Removal(str(path))
        if not removal.unlink(path.name, parent, "") and removal.opens_top(path.name, parent, opened):
            removal.run()
            removal.remove_top(path.name, parent)
        return removal.remains


@dataclass(slots=True)
class _Folder:
    """A folder that was moved up, or the top itself; `shown` is the path below the top that it had."""

    name: str
    shown: str


@dataclass(slots=True)
class _Failures:
    count: int = 0
    named: list[str] = field(default_factory=list)

    def add(self, shown: str, error: OSError) -> None:
        self.count += 1
        if len(self.named) < _MOST_NAMED:
            text = shown.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            self.named.append(f"{text}: {error.strerror}")


class _Removal:
    """The removal of one tree. Folders on `_waiting` lie in the top, under names that nobody else can guess."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._top = -1
        self._prefix = f".{os.urandom(12).hex()}-"
        self._moved = 0
        self._waiting: list[_Folder] = []
        self._failures = _Failures()

    @property
    def remains(self) -> Remains:
        return Remains(self._failures.count, tuple(self._failures.named))

    def unlink(self, name: str, parent: int, below: str) -> bool:
        """Remove what is no folder; whether that settles it."""
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return True
        except (IsADirectoryError, PermissionError) as error:
            if _is_folder(name, parent):
                return False
            self._failures.add(self._show(below), error)
        except OSError as error:
            self._failures.add(self._show(below), error)
        return True

    def opens_top(self, name: str, parent: int, opened: contextlib.ExitStack) -> bool:
        try:
            self._top = _open_folder(name, parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            self._failures.add(self._shown, error)
            return False
        opened.callback(os.close, self._top)
        if _mount_of(self._top) == _mount_of(parent):
            return True
        self._failures.add(self._shown, OSError(0, "a file system is mounted there"))
        return False

    def run(self) -> None:
        self._waiting.append(_Folder(".", ""))
        while self._waiting:
            folder = self._waiting.pop()
            try:
                file = _open_folder(folder.name, self._top)
            except FileNotFoundError:
                continue
            except OSError as error:
                if not self._drop(folder):  # somebody else's that is empty may go
                    self._failures.add(self._show(folder.shown), error)
                continue
            try:
                self._visit(folder, file)
            finally:
                os.close(file)

    def remove_top(self, name: str, parent: int) -> None:
        if self._failures.count:
            return
        try:
            os.rmdir(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._failures.add(self._shown, error)

    def _visit(self, folder: _Folder, file: int) -> None:
        """Remove the files of `folder` and move its subfolders up; it is visited again when those are gone."""
        before, self._failures = self._failures, _Failures()
        place = len(self._waiting)
        has_progress, has_more = self._empty(folder, file)
        if has_progress or has_more:
            if not self._drop(folder):  # what it could not lose is told at its last visit
                self._waiting.insert(place, folder)
            self._failures = before
            return
        is_told = folder.name == "." and before.count  # what lies in the top still
        if self._failures.count == 0 and not self._drop(folder) and not is_told:
            self._failures.add(self._show(folder.shown), OSError(0, "it can't be emptied"))
        for name in self._failures.named[: _MOST_NAMED - len(before.named)]:
            before.named.append(name)
        before.count += self._failures.count
        self._failures = before

    def _empty(self, folder: _Folder, file: int) -> tuple[bool, bool]:
        """One pass over a folder: whether anything went, and whether there are subfolders that had to stay for now."""
        has_progress = has_more = False
        room = max(1, _MOST_WAITING - len(self._waiting))
        with os.scandir(file) as entries:
            for entry in entries:
                if entry.name.startswith(self._prefix):
                    continue
                below = f"{folder.shown}/{entry.name}"[-_MOST_SHOWN:]
                if not entry.is_dir(follow_symlinks=False):
                    failed = self._failures.count
                    if self.unlink(entry.name, file, below):
                        has_progress |= self._failures.count == failed
                        continue
                if room == 0:
                    has_more = True
                elif self._move_up(entry.name, file, below):
                    room -= 1
                    has_progress = True
        return has_progress, has_more

    def _move_up(self, name: str, file: int, below: str) -> bool:
        """Whether a subfolder was moved into the top, or is gone. A mount point can't be moved: the kernel says so."""
        fresh = f"{self._prefix}{self._moved}"
        try:
            _move_folder(name, file, fresh, self._top)
        except FileNotFoundError:
            return True
        except OSError as error:
            try:
                os.rmdir(name, dir_fd=file)  # somebody else's that is empty
            except OSError:
                self._failures.add(self._show(below), error)
                return False
            return True
        self._moved += 1
        self._waiting.append(_Folder(fresh, below))
        return True

    def _drop(self, folder: _Folder) -> bool:
        """Remove an empty folder; the top is not one of those."""
        if folder.name == ".":
            return not self._failures.count and not _has_entries(self._top)
        try:
            os.rmdir(folder.name, dir_fd=self._top)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _show(self, below: str) -> str:
        return f"{self._shown}{below}" if below.startswith("/") or not below else f"{self._shown}/…{below}"


def walk_tree(path: Path) -> Iterator[tuple[int, str, list[os.DirEntry[str]]]]:
    """The folders at and below `path`, each once, no link followed: (open folder, path below `path`, its entries).

    The folder is open until the next one is asked for; those of its folders that are taken out of its entries are left
    out. The order is depth first, names sorted. Folders that can't be read are passed over, and whatever is swapped meanwhile is not reached. Raises OSError when `path` itself can't be read.
    """
    file = os.open(path, _FOLDER)
    way: list[
        tuple[list[str], tuple[int, int]]
    ] = []  # what is still to do at each level, and which folder it is
    below = ""
    try:
        while True:
            with os.scandir(file) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
            yield file, below, entries
            folders = [entry.name for entry in reversed(entries) if entry.is_dir(follow_symlinks=False)]
            way.append((folders, _identity(file)))
            while way:
                folders, _folder = way[-1]
                entered = -1
                while folders and entered < 0:
                    name = folders.pop()
                    with contextlib.suppress(OSError):
                        entered = os.open(name, _FOLDER, dir_fd=file)
                if entered >= 0:
                    os.close(file)
                    file, below = entered, f"{below}/{name}" if below else name
                    break
                way.pop()
                if not way:
                    return
                above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=file)
                os.close(file)
                file, below = above, below.rpartition("/")[0]
                if _identity(file) != way[-1][1]:  # it was moved away under our hands
                    return
    finally:
        os.close(file)


def _open_folder(name: str, parent: int) -> int:
    """The folder, open, with all rights that its owner can give to it."""
    try:
        file = os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        handle = os.open(name, _HANDLE, dir_fd=parent)
        try:
            _grant(handle)
            file = os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.close(handle)
    if os.fstat(file).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        with contextlib.suppress(PermissionError):  # somebody else's: what it holds may go all the same
            os.fchmod(file, stat.S_IRWXU)
    return file


def _grant(handle: int) -> None:
    """Give a folder's owner all rights on it: by the open handle, since a name may be a link by now."""
    os.chmod(f"/proc/self/fd/{handle}", stat.S_IRWXU)  # noqa: PTH101 - no path of anything


def _move_folder(name: str, source: int, fresh: str, target: int) -> None:
    """Move a folder; one that its owner made unwritable is opened up: the kernel changes its entry `..`."""
    try:
        os.rename(name, fresh, src_dir_fd=source, dst_dir_fd=target)
    except PermissionError:
        handle = os.open(name, _HANDLE, dir_fd=source)
        try:
            _grant(handle)
        finally:
            os.close(handle)
        os.rename(name, fresh, src_dir_fd=source, dst_dir_fd=target)


def _is_folder(name: str, parent: int) -> bool:
    try:
        return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _has_entries(file: int) -> bool:
    with os.scandir(file) as entries:
        return any(True for _ in entries)


def _mount_of(file: int) -> str:
    """The mount that an open folder lies in; bind mounts differ in nothing else."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/self/fdinfo/{file}").read_text().splitlines():
            if line.startswith("mnt_id:"):
                return line
    return ""


def _identity(file: int) -> tuple[int, int]:
    facts = os.fstat(file)
    return facts.st_dev, facts.st_ino
