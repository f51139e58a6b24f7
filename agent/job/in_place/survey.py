"""A survey of somebody's own folder: each thing in it that git could not give back, with what tells it from another.

Made before each action that runs there, and after it. Content is not read: a file's inode, size and times tell, which costs a third of a
second for 100,000 files. What says of itself that it can be made again (`CACHEDIR.TAG`, virtual environments, `node_modules`,
`__pycache__`) is one thing, whatever it has in it.

Other repositories within the folder are walked as a whole, with their `.git`: a clone that is gone is given back by nobody.
"""

import contextlib
import os
import stat
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from agent.job.in_place.belongings import Belonging, ask_status, find_shared
from agent.job.in_place.objects import MOST_FILES, list_objects

MOST_THINGS = 250_000

_REMADE = frozenset({"node_modules", "__pycache__"})
_CACHE_TAG = b"Signature: 8a477f597d28d172789f06886806bc55"  # https://bford.info/cachedir/
_SETTINGS = ("config", "config.worktree", "hooks", "info")  # of `.git`: nobody else has them


class Concern(IntEnum):
    """What is to be seen to when a thing is gone or another; the most precious first."""

    WORK = 1  # uncommitted edits, untracked files
    SETTING = 2  # of a repository: its configuration and hooks
    IGNORED = 3
    WHOLE = 4  # one thing, whatever it has in it
    TRACKED = 5  # of another repository: git gives it back as long as that has its `.git`


class Note(NamedTuple):
    """A thing as it was found."""

    concern: Concern
    mode: int  # st_mode
    inode: int
    size_bytes: int
    mtime_ns: int
    link: str = ""  # where a symbolic link leads to

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, and no link to one."""
        return stat.S_ISDIR(self.mode)

    def is_same(self, other: "Note") -> bool:
        """Whether nothing was written meanwhile, as far as can be told without reading."""
        if stat.S_IFMT(self.mode) != stat.S_IFMT(other.mode):
            return False
        return self.is_folder or self.link == other.link != "" or self[2:] == other[2:]


@dataclass(slots=True)
class Survey:
    """What was found, by its full path; parents come before what is in them."""

    notes: dict[str, Note] = field(default_factory=dict)
    repositories: list[str] = field(default_factory=list)  # other ones, within the folder
    replaceable: frozenset[str] = frozenset()  # of those, what has nothing that its origin lacks
    objects: dict[str, list[str]] = field(
        default_factory=dict
    )  # files with objects, by the repository's path
    has_more_objects: bool = False  # than are looked at: MOST_FILES
    is_cut: bool = False  # there is more than is looked at: MOST_THINGS


def survey(belongings: Mapping[str, Belonging], without: Collection[Path] = ()) -> Survey:
    """What is there now of `belongings`, and all that is in the folders among them; nothing of the folders `without`."""
    surveyor = _Surveyor(frozenset(map(str, without)))
    for wanted in (
        Belonging.EDIT,
        Belonging.UNTRACKED,
        Belonging.GIT,
        Belonging.REPOSITORY,
        Belonging.IGNORED,
    ):
        for path, kind in belongings.items():
            if kind is wanted:
                surveyor.look(path, kind)
    return surveyor.found


def look_at_objects(found: Survey, repositories: Iterable[str]) -> None:
    """Have in `found` what lies among the objects of `repositories` too, as far as MOST_FILES goes."""
    left = MOST_FILES
    for repository in repositories:
        files = list(islice(list_objects(Path(repository)), left + 1))
        found.has_more_objects = found.has_more_objects or len(files) > left
        found.objects[repository] = files[:left]
        left -= len(files[:left])
        for path in found.objects[repository]:
            if (note := note_of(path, Concern.TRACKED)) is not None:
                found.notes[path] = note


def note_of(path: str, concern: Concern = Concern.WORK) -> Note | None:
    """The thing at `path` as it is; None when there is none."""
    try:
        status = os.lstat(path)
        link = os.readlink(path) if stat.S_ISLNK(status.st_mode) else ""  # noqa: PTH115 - many paths, all text
    except OSError:
        return None
    return _note(concern, status, link)


def is_of_git(path: str) -> bool:
    """Whether it is a `.git`, or in one."""
    return "/.git/" in f"{path}/"


def is_remade(path: str) -> bool:
    """Whether the folder says of itself that it can be made again."""
    if os.path.basename(path) in _REMADE or os.path.lexists(f"{path}/pyvenv.cfg"):  # noqa: PTH119
        return True
    try:
        with open(f"{path}/CACHEDIR.TAG", "rb") as file:  # noqa: PTH123
            return file.read(len(_CACHE_TAG)) == _CACHE_TAG
    except OSError:
        return False


class _Surveyor:
    def __init__(self, without: frozenset[str]) -> None:
        self.found = Survey()
        self._without = without

    def look(self, path: str, kind: Belonging) -> None:
        match kind:
            case Belonging.GIT:
                self._add(path, Concern.WHOLE)
                self._look_at_settings(Path(path).parent)
            case Belonging.REPOSITORY:
                self._look_into(path)
            case Belonging.EDIT if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 - a submodule
                self._look_into(path)
            case _:
                self._walk(path, Concern.IGNORED if kind is Belonging.IGNORED else Concern.WORK)

    def _walk(self, top: str, concern: Concern) -> None:
        waiting = [(top, concern)]
        while waiting:
            path, concern = waiting.pop()
            if path in self._without or (note := self._add(path, concern)) is None or not note.is_folder:
                continue
            if concern is not Concern.TRACKED and os.path.lexists(f"{path}/.git"):
                self._look_at_clone(path, note)
            elif is_remade(path):
                self.found.notes[path] = note._replace(concern=Concern.WHOLE)
            else:
                waiting += ((folder, concern) for folder in self._list(path, concern))

    def _list(self, folder: str, concern: Concern) -> list[str]:
        """Note the files of `folder`; its folders."""
        inner: list[str] = []
        try:
            entries = os.scandir(folder)
        except OSError:
            return []
        with entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    inner.append(entry.path)
                elif entry.is_symlink():
                    self._add(entry.path, concern)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        self._put(entry.path, _note(concern, entry.stat(follow_symlinks=False)))
        return inner

    def _look_at_clone(self, path: str, note: Note) -> None:
        """All of it, as git's to give back; then what its git could not."""
        self.found.notes[path] = note._replace(concern=Concern.TRACKED)
        for inner in self._list(path, Concern.TRACKED):
            self._walk(inner, Concern.TRACKED)
        self._look_into(path)

    def _look_into(self, repository: str) -> None:
        """What the git of another repository could not give back."""
        if repository in self._without or not os.path.lexists(f"{repository}/.git"):
            return
        self.found.repositories.append(repository)
        self._add(f"{repository}/.git", Concern.TRACKED)
        _, entries = ask_status(Path(repository)) or (None, {})
        for path, kind in entries.items():
            if path != repository:
                self.look(path, kind)
        self._look_at_settings(Path(repository))

    def _look_at_settings(self, work_tree: Path) -> None:
        shared = find_shared(work_tree)
        for name in _SETTINGS if shared is not None else ():
            path = os.path.normpath(f"{shared}/{name}")
            if (note := self._add(path, Concern.SETTING)) is not None and note.is_folder:
                self._list(path, Concern.SETTING)

    def _add(self, path: str, concern: Concern) -> Note | None:
        note = note_of(path, concern)
        if note is not None:
            self._put(path, note)
        return note

    def _put(self, path: str, note: Note) -> None:
        if len(self.found.notes) < MOST_THINGS or path in self.found.notes:
            self.found.notes[path] = note
        else:
            self.found.is_cut = True


def _note(concern: Concern, status: os.stat_result, link: str = "") -> Note:
    return Note(concern, status.st_mode, status.st_ino, status.st_size, status.st_mtime_ns, link)
