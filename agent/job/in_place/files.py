"""Held files: what somebody's own folder has and nothing else, held while an action runs in it.

    GIT/flow-agent-held/ID/files/N/NNNN each file; outside of git, GIT is the folder itself, and the names begin with a dot
    GIT/flow-agent-held/ID/names        which is which. An action that looks for names (`find . -name '*.pt' -delete`) finds none of them
    GIT/flow-agent-held/ID/lock         held (flock) by the process that watches the action
    GIT/flow-agent-held/ID/base         where GIT was
    GIT/flow-agent-held/ID/repositories paths of other repositories whose references are held

    a copy      of the most precious small files, as many as cost little: given back whatever became of the file; it shares the file's
                blocks where the file system can do that, and is then made of large ones, too
    a hard link of all others: costs no space, and is given back when the file was removed or another one took its place;
                not when it was written into

Nothing is held while the flow's own steps run: what they remove is gone, and its space is free. What a run that was killed held is put
back by the next one, as references are (agent.job.in_place.held).
"""

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from agent.job.in_place.survey import Concern, Note, is_of_git
from agent.trees import remove_tree

_HELD, _KEPT = "flow-agent-held", "kept-by-flow-agent"
_MOST_IN_FOLDER = 1000
_MOST_COPIES = 1000
_MOST_COPIED_BYTES = 1 << 20  # of one file
_MOST_BYTES = 64 << 20  # of all files that are copied byte by byte
_FICLONE = 0x40049409  # ioctl_ficlone(2)


class HeldFiles:
    """Files of `folder`, held below `base`, where a hard link can lead to them."""

    def __init__(self, folder: Path, base: Path, held_id: str, lock: int) -> None:
        self.id = held_id
        self._folder = folder
        self._base = base
        self._root = base / _name(base, folder, _HELD) / held_id
        self._lock = lock
        self._identity = _identify(folder)
        self._held: dict[str, Note] = {}  # by path: as it was when it was held
        self._numbers: dict[str, int] = {}  # by path
        self._next = 0
        self._copies: dict[str, int] = {}  # bytes that were copied for it
        self._copied_bytes = 0
        self._can_clone = True
        self._folders: set[str] = set()  # that were made

    def hold(self, notes: Mapping[str, Note]) -> None:
        """Hold all of `notes` that can be held, and nothing else. What is held already, and is the same, costs nothing."""
        stale = [path for path, was in self._held.items() if notes.get(path) != was]
        for path in stale:
            self._forget(path)
        new = [path for path, note in notes.items() if path not in self._held and _is_worth_it(path, note)]
        for path in sorted(new, key=lambda path: notes[path].concern):
            # Another file system, somebody else's file: it is looked at only.
            with contextlib.suppress(OSError):
                self._take(path, notes[path])
        if new or stale:
            names = "".join(f"{number} {path}\0" for path, number in self._numbers.items())
            with contextlib.suppress(OSError):
                (self._root / "names").write_bytes(os.fsencode(names))

    def note_repositories(self, repositories: list[str]) -> None:
        """Remember which other repositories' references are held."""
        with contextlib.suppress(OSError):
            (self._root / "repositories").write_bytes(
                os.fsencode("".join(f"{path}\0" for path in repositories))
            )

    def read_repositories(self) -> list[Path]:
        """Those of `note_repositories`."""
        with contextlib.suppress(OSError):
            found = (self._root / "repositories").read_bytes().split(b"\0")
            return [Path(self._find_moved(os.fsdecode(path))) for path in found if path]
        return []

    def find(self, path: str) -> Path | None:
        """Where the former content of `path` is; None where it is not held, or was written into."""
        try:
            place = Path(self._place(path))
            held = os.lstat(place)
        except (OSError, KeyError):
            return None
        with contextlib.suppress(OSError):
            return None if os.path.samestat(held, os.lstat(path)) else place
        return place

    def give_back(self, path: str) -> bool:
        """Put back what was at `path`, which is not there or was kept; whether that is done."""
        place = self.find(path)
        if place is None:
            return False
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120
            place.replace(path)
        except OSError:
            return False
        self._drop(path)
        return True

    def keep(self, path: str) -> bool:
        """Keep aside what was at `path`; whether that could be done."""
        place = self.find(path)
        if place is None:
            return False
        inside = Path(path).is_relative_to(self._folder)
        target = self.kept / (
            os.path.relpath(path, self._folder) if inside else Path(".git", Path(path).name)
        )
        try:
            self.kept.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            place.replace(target)
        except OSError:
            return False
        self._drop(path)
        return True

    @property
    def kept(self) -> Path:
        """Where things of today are kept aside by this one."""
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        return self._base / _name(self._base, self._folder, _KEPT) / f"{day}-{self.id}"

    @property
    def own(self) -> list[Path]:
        """Folders of ours, which are nobody's belongings."""
        return [self._base / _name(self._base, self._folder, name) for name in (_HELD, _KEPT)]

    def list_left(self) -> list[str]:
        """The paths of all that is held, by what is on the disk."""
        with contextlib.suppress(OSError):
            for entry in (self._root / "names").read_bytes().split(b"\0")[:-1]:
                number, _, path = os.fsdecode(entry).partition(" ")
                self._numbers[self._find_moved(path)] = int(number)
        return list(self._numbers)

    def moved_to(self) -> Path | None:
        """Where the folder is now, when it has been moved away and is still there; None while it is where it was."""
        if self._root.exists() or self._identity in {None, _identify(self._folder)}:
            return None
        with contextlib.suppress(OSError):
            lock = Path(f"/proc/self/fd/{self._lock}").readlink()  # the kernel knows where it went
            base = lock.parents[2]
            inside = os.path.relpath(self._folder, self._base)
            folder = Path(os.path.normpath(base / inside))
            return folder if lock.exists() and _identify(folder) == self._identity else None
        return None

    def leave(self) -> None:
        """Leave all of it to a later run."""
        os.close(self._lock)

    def let_go(self) -> None:
        """Hold no more."""
        remove_tree(self._root)
        os.close(self._lock)
        with contextlib.suppress(OSError):  # somebody else holds something
            self._root.parent.rmdir()

    def _find_moved(self, path: str) -> str:
        """Where `path`, written down by whoever held it, is by now: the whole folder may have been moved since."""
        try:
            former = os.fsdecode((self._root / "base").read_bytes())
        except OSError:
            return path
        tops = [
            base if base == str(self._folder) or not base.endswith("/.git") else base.removesuffix("/.git")
            for base in (former, str(self._base))
        ]
        is_inside = path.startswith(f"{tops[0]}/") and tops[0] != tops[1]
        return f"{tops[1]}{path.removeprefix(tops[0])}" if is_inside else path

    def _take(self, path: str, note: Note) -> None:
        self._numbers[path] = self._next
        self._next += 1
        place = self._place(path)
        above = os.path.dirname(place)  # noqa: PTH120
        if above not in self._folders:
            os.makedirs(above, exist_ok=True)  # noqa: PTH103
            self._folders.add(above)
        if note.link:
            os.symlink(note.link, place)  # noqa: PTH211
        elif note.is_file and not self._try_to_copy(path, place, note):
            os.link(path, place, follow_symlinks=False)
        self._held[path] = note

    def _try_to_copy(self, path: str, place: str, note: Note) -> bool:
        """Copy it, where that costs little; whether that is done."""
        is_small = note.size_bytes <= _MOST_COPIED_BYTES
        is_small = is_small and self._copied_bytes + note.size_bytes <= _MOST_BYTES
        if len(self._copies) >= _MOST_COPIES or not (is_small or self._can_clone):
            return False
        try:
            is_whole = self._copy(path, place, is_small=is_small)
        except OSError:  # unreadable, perhaps: a link needs no more than that it is the user's
            is_whole = False
        if not is_whole:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(place)  # noqa: PTH108
            return False
        self._copies[path] = 0 if self._can_clone else note.size_bytes
        self._copied_bytes += self._copies[path]
        return True

    def _copy(self, path: str, place: str, *, is_small: bool) -> bool:
        with open(path, "rb") as source, open(place, "xb") as target:  # noqa: PTH123
            self._can_clone = self._can_clone and _clone(source.fileno(), target.fileno())
            if not self._can_clone and not is_small:
                return False
            if not self._can_clone:
                shutil.copyfileobj(source, target)
        shutil.copystat(path, place)
        return True

    def _drop(self, path: str) -> None:
        self._held.pop(path, None)
        self._numbers.pop(path, None)
        self._copied_bytes -= self._copies.pop(path, 0)

    def _forget(self, path: str) -> None:
        place = self._place(path)
        self._drop(path)
        with contextlib.suppress(OSError):
            os.unlink(place)  # noqa: PTH108

    def _place(self, path: str) -> str:
        number = self._numbers[path]
        return f"{self._root}/files/{number // _MOST_IN_FOLDER}/{number}"


def begin_holding(folder: Path, shared: Path | None) -> HeldFiles | None:
    """Get ready to hold files of `folder`, in its repository's folder `shared`; None where nothing can be written."""
    if not folder.is_dir():
        return None
    base = shared or folder
    held_id = secrets.token_hex(4)
    try:
        root = base / _name(base, folder, _HELD) / held_id
        root.mkdir(mode=0o700, parents=True)
        root.parent.chmod(0o700)
        (root / "base").write_bytes(os.fsencode(base.resolve()))
        return HeldFiles(folder, base, held_id, _lock(root / "lock"))
    except OSError:
        return None


def take_left_files(folder: Path, shared: Path | None) -> list[HeldFiles]:
    """What processes that died have left; what lives is left alone."""
    base = shared or folder
    left: list[HeldFiles] = []
    with contextlib.suppress(OSError):
        for root in sorted((base / _name(base, folder, _HELD)).iterdir()):
            with contextlib.suppress(OSError):
                left.append(HeldFiles(folder, base, root.name, _lock(root / "lock")))
    return left


def _identify(folder: Path) -> tuple[int, int] | None:
    """What stays the same when the folder is moved."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_worth_it(path: str, note: Note) -> bool:
    """A folder is made again; tracked files come from the `.git` of their repository, which is held."""
    return not note.is_folder and (note.concern is not Concern.TRACKED or is_of_git(path))


def _name(base: Path, folder: Path, name: str) -> str:
    return f".{name}" if base == folder else name


def _lock(file: Path) -> int:
    """Raises OSError when somebody has it."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _clone(source: int, target: int) -> bool:
    """Have `target` share the blocks of `source`; whether the file system can."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True
