"""Losses: what an action did to what only the folder has, and what is done about it.

                        what git ignores                                uncommitted edits, untracked files
    gone                put back                                        put back
      in a folder that
      it wrote anew     kept aside (a build's output: its business)     put back
    another content     kept aside                                      kept aside; an edit that was undone is put back

What is put back, or was somebody's work, fails the job; what is kept aside of ignored files and of a repository's settings is said, and
so are changed permissions. What can be made again (agent.job.in_place.survey) is looked at as a whole, and not held.
"""

import contextlib
import filecmp
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.job.in_place.belongings import ask_git, ask_status
from agent.job.in_place.files import HeldFiles
from agent.job.in_place.objects import is_object
from agent.job.in_place.references import write
from agent.job.in_place.survey import Concern, Note, Survey, is_of_git, note_of

_MOST_NAMED = 5
_CONTENT = {Concern.WORK, Concern.TRACKED}


@dataclass(slots=True)
class Losses:
    """Paths, by what became of them."""

    back: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)  # edits, put back
    gone: list[str] = field(default_factory=list)
    overwritten: list[str] = field(default_factory=list)
    aside: set[str] = field(default_factory=set)  # of all those, what is kept aside as it was
    anew: list[str] = field(default_factory=list)  # of an ignored folder that was written anew
    changed: list[str] = field(default_factory=list)  # ignored files and settings
    modes: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)  # other repositories that have a new `.git`

    def describe(self, folder: Path, kept: str) -> str:
        """What fails the job, after `the action`; empty when nothing does."""
        clauses = [
            f"took away {_name(self.back, folder)}, which {_are(self.back)} put back" if self.back else "",
            f"undid the edits of {_name(self.undone, folder)}, which are put back" if self.undone else "",
            self._describe_changed("lost what only this folder had", self.gone, folder, kept),
            self._describe_changed("overwrote what only this folder had", self.overwritten, folder, kept),
        ]
        return "; and ".join(filter(None, clauses))

    def describe_said(self, folder: Path, kept: str) -> str:
        """What is no failure, after `the action`; empty when there is nothing."""
        clauses = [
            self._describe_changed("removed from folders that it wrote anew", self.anew, folder, kept),
            self._describe_changed("changed what git does not keep", self.changed, folder, kept),
            f"changed the permissions of {_name(self.modes, folder)}" if self.modes else "",
        ]
        return "; and ".join(filter(None, clauses))

    def _describe_changed(self, verb: str, paths: list[str], folder: Path, kept: str) -> str:
        aside = [path for path in paths if path in self.aside]
        rest = [path for path in paths if path not in self.aside]
        said = [
            f"{_name(aside, folder)} (as {'it was' if len(aside) == 1 else 'they were'} in {kept})"
            if aside
            else "",
            _name(rest, folder) + (" (no copy)" if aside else "") if rest else "",
        ]
        return f"{verb}: {', '.join(filter(None, said))}" if paths else ""


def settle_losses(folder: Path, before: Survey, after: Survey, held: HeldFiles | None) -> Losses:
    """Find what `before` had and is not as it was, and put it back or keep it aside."""
    return _Settling(folder, before, after, held).run()


def settle_left(held: HeldFiles) -> Losses:
    """The same, for what a process held that has died: what is there stays as it is."""
    losses = Losses()
    repositories = list(map(str, held.read_repositories()))
    broken = [path for path in repositories if not os.path.lexists(f"{path}/.git")]
    whole = tuple(f"{path}/.git/" for path in repositories if path not in broken)
    gone = tuple(f"{path}/.git/" for path in broken)
    paths = [
        path
        for path in held.list_left()
        if not path.startswith(whole) and (path.startswith(gone) or not is_object(path))
    ]  # its git has packed it, perhaps
    missing = {path: _find_missing(path) for path in paths if not os.path.lexists(path)}
    for path in paths:
        place = held.find(path)
        if path in missing and held.give_back(path):
            losses.back.append(missing[path])
        elif place is not None and not _is_equal(place, path):
            (losses.gone if path in missing else losses.overwritten).append(path)
            if held.keep(path):
                losses.aside.add(path)
    _check_out(broken)
    losses.back = list(dict.fromkeys(losses.back))
    return losses


def show_kept(held: HeldFiles | None, folder: Path) -> str:
    """The folder of what is kept aside, as people in `folder` write it."""
    if held is None:
        return ""
    return str(held.kept).removeprefix(f"{folder}/")


class _Settling:
    def __init__(self, folder: Path, before: Survey, after: Survey, held: HeldFiles | None) -> None:
        self._folder = folder
        self._before = before.notes
        self._after = after.notes
        self._held = held
        self._written = {os.path.dirname(path) for path in after.notes if path not in before.notes}  # noqa: PTH120
        self._clones = [f"{path}/" for path in before.repositories]
        self._missing = [path for path in before.repositories if not os.path.lexists(f"{path}/.git")]
        self._replaced = [
            path for path in before.repositories if path not in before.replaceable and self._is_other(path)
        ]
        self._broken = tuple(f"{path}/" for path in self._missing)
        self._tracked: dict[str, set[str] | None] = {}  # what has edits in a repository, asked once
        self._losses = Losses()

    def run(self) -> Losses:
        gone: list[str] = []
        changed: list[str] = []
        replaced = tuple(f"{path}/.git/" for path in self._replaced)
        for path, note in self._before.items():
            if note.concern is Concern.TRACKED and not f"{path}/".startswith(self._broken):
                continue
            if note.concern is Concern.SETTING and (path.startswith(replaced) or self._is_orphan(path)):
                continue
            now = self._after.get(path) or note_of(path)
            if now is None:
                gone.append(path)
            elif note.concern is Concern.TRACKED and not is_of_git(path):
                continue  # its content is in the `.git`
            elif not note.is_same(now):
                changed.append(path)
            elif (
                note.concern is Concern.WORK
                and note.is_file
                and stat.S_IMODE(note.mode) != stat.S_IMODE(now.mode)
            ):
                self._losses.modes.append(path)
        for repository in self._replaced:
            self._settle_replaced(f"{repository}/.git")
        undone = {path for path in changed if self._is_undone(path)}
        self._settle_gone(gone)
        for path in changed:
            self._settle_changed(path, self._before[path], is_undone=path in undone)
        self._name_folders()
        return self._losses

    def _name_folders(self) -> None:
        for paths in (self._losses.gone, self._losses.overwritten, self._losses.changed):
            paths[:] = [named for path in paths for named in self._name_folder(path)]

    def _name_folder(self, path: str) -> list[str]:
        """`path`; of a folder that something else took the place of, also what of it is not kept aside as all the rest is."""
        if not self._before[path].is_folder:
            return [path]
        inner = [
            inside
            for inside, note in self._before.items()
            if inside.startswith(f"{path}/") and not note.is_folder and note.concern is not Concern.TRACKED
        ]
        aside = self._losses.aside
        if not any(inside in aside for inside in inner):
            return [path]
        aside.add(path)
        return [path, *(inside for inside in inner if inside not in aside and not os.path.lexists(inside))]

    def _settle_gone(self, gone: list[str]) -> None:
        losses = self._losses
        lost: dict[str, None] = {}
        from_git = [
            path for path in gone if self._before[path].concern is Concern.TRACKED and not is_of_git(path)
        ]
        others = set(from_git)
        for path in (path for path in gone if path not in others):
            if self._is_written_anew(path):
                losses.anew.append(path)
                self._keep(path)
            elif not self._give_back(path, self._before[path]):
                lost[path] = None
                self._keep(path)
        _check_out(self._missing)
        lost |= dict.fromkeys(path for path in from_git if not os.path.lexists(path))
        without = {*lost, *losses.anew}
        losses.back = list(_list_tops([path for path in gone if path not in without]))
        losses.gone = list(_list_tops(lost))
        losses.anew = [path for path in losses.anew if not self._before[path].is_folder]

    def _settle_replaced(self, git: str) -> None:
        """The `.git` of another repository is a new one: the two are not mixed."""
        inner = [
            path for path in self._before if path.startswith(f"{git}/") and not self._before[path].is_folder
        ]
        are_kept = [self._held is not None and self._held.keep(path) for path in inner]  # each of them
        if all(are_kept):
            self._losses.aside.add(git)
        self._losses.overwritten.append(git)
        self._losses.replaced.append(git.removesuffix("/.git"))

    def _settle_changed(self, path: str, note: Note, *, is_undone: bool) -> None:
        losses, held = self._losses, self._held
        place = held.find(path) if held is not None else None
        if place is not None and _is_equal(place, path):
            return
        if note.concern is Concern.SETTING and place is not None and _is_extended(place, path):
            return
        if is_undone and held is not None and held.give_back(path):
            losses.undone.append(path)
            return
        (losses.overwritten if note.concern in _CONTENT else losses.changed).append(path)
        self._keep(path)

    def _keep(self, path: str) -> None:
        if self._held is not None and self._held.keep(path):
            self._losses.aside.add(path)

    def _give_back(self, path: str, note: Note) -> bool:
        if os.path.lexists(path):  # a file in it came first
            return True
        if note.concern is Concern.WHOLE:
            return False
        if not note.is_folder:
            return self._held is not None and self._held.give_back(path)
        with contextlib.suppress(OSError):
            os.makedirs(path)  # noqa: PTH103
            os.chmod(path, stat.S_IMODE(note.mode))  # noqa: PTH101
            return True
        return False

    def _is_orphan(self, path: str) -> bool:
        """Whether it is a setting of a `.git` that is gone itself."""
        git = f"{self._folder}/.git"
        return path.startswith(f"{git}/") and git in self._before and not os.path.lexists(git)

    def _is_other(self, repository: str) -> bool:
        """Whether the `.git` is not the one that was there."""
        git = f"{repository}/.git"
        was, now = self._before.get(git), self._after.get(git) or note_of(git)
        return was is not None and now is not None and was.inode != now.inode and was.is_folder

    def _is_written_anew(self, path: str) -> bool:
        """Whether it lay in an ignored folder that the action put something new into."""
        if self._before[path].concern is not Concern.IGNORED:
            return False
        above = os.path.dirname(path)  # noqa: PTH120
        while above in self._before and above not in self._after:
            above = os.path.dirname(above)  # noqa: PTH120
        top = self._before.get(above)
        return top is not None and top.concern is Concern.IGNORED and above in self._written

    def _is_undone(self, path: str) -> bool:
        """Whether an edit is no more one: git says that the file is as it is committed."""
        if self._before[path].concern is not Concern.WORK:
            return False
        clones = [clone for clone in self._clones if path.startswith(clone)]
        repository = Path(max(clones, key=len)) if clones else self._folder
        if str(repository) not in self._tracked:
            found = ask_status(repository)
            self._tracked[str(repository)] = None if found is None else set(found[1])
        edited = self._tracked[str(repository)]
        return edited is not None and path not in edited and bool(ask_git(repository, "ls-files", "--", path))


def _check_out(repositories: Iterable[str]) -> None:
    """What is tracked and not there comes from the `.git` that was put back."""
    for repository in repositories:
        if os.path.lexists(f"{repository}/.git"):
            write(Path(repository), ["checkout-index", "--all", "--index", "--quiet"])


def _list_tops(paths: Iterable[str]) -> Iterator[str]:
    """Those of `paths` that lie in no other of them."""
    found = set(paths)
    for path in paths:
        if not any(str(above) in found for above in Path(path).parents):
            yield path


def _find_missing(path: str) -> str:
    """The uppermost of the folders around `path` that is not there, or itself."""
    while not os.path.lexists(above := os.path.dirname(path)):  # noqa: PTH120
        path = above
    return path


def _is_equal(place: Path, path: str) -> bool:
    with contextlib.suppress(OSError):
        if place.is_symlink() or os.path.islink(path):  # noqa: PTH114
            return place.is_symlink() and os.path.islink(path) and os.readlink(place) == os.readlink(path)  # noqa: PTH114, PTH115
        return Path(path).is_file() and filecmp.cmp(place, path, shallow=False)
    return False


def _is_extended(place: Path, path: str) -> bool:
    """Whether the file has all lines that it had."""
    with contextlib.suppress(OSError):
        return not Counter(place.read_bytes().split(b"\n")) - Counter(Path(path).read_bytes().split(b"\n"))
    return False


def _name(paths: list[str], folder: Path) -> str:
    names = [path.removeprefix(f"{folder}/") for path in paths]
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _are(paths: list[str]) -> str:
    return "is" if len(paths) == 1 else "are"
