"""The copy of a git repository: one of its own, by which git reaches nothing of the original.

    `.git` a link, or a file that leads elsewhere    what is there is copied in its place
    of a linked work tree                            what all its work trees share is copied, and then its own over it
    a link within a repository that leads out of it  what is there is copied in its place; nothing when nothing is there
    its other work trees                             not in the copy: each has one of its own, or lies elsewhere
    settings that lead out                           left out (agent.cli.local_run.repository_config)
    objects that are borrowed                        still are: git only reads them

gitrepository-layout(5) and git-worktree(1) say what lies where.
"""

import contextlib
import os
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.cli.local_run.borders import Borders
from agent.cli.local_run.copy_plan import CopyPlan
from agent.cli.local_run.repository_config import RepositoryPlace, UncopyableError, settle_config

_MARKS = {"HEAD", "objects", "refs"}  # by which git knows a repository
_CONFIGS = ("config", "config.worktree")
_BORROWED = "objects/info/alternates"
# Of what lies in a repository, what belongs to its main work tree, and to no linked one.
_MAINS = {"HEAD", "index", "config.worktree", "sequencer", "info/sparse-checkout", "AUTO_MERGE"}
_MAINS_END, _MAINS_BEGINNINGS = "_HEAD", ("rebase-", "BISECT_")
_OF_TREES = {"commondir", "gitdir", "worktrees"}  # lead from a linked work tree to the main one, and back


def is_repository(names: set[str]) -> bool:
    """Whether a folder with these entries is a repository, whatever its own name is."""
    return names >= _MARKS


def leads_elsewhere(link: Path, borders: Borders, at: str) -> bool:
    """Whether the `.git` that is no folder leads out of the copy; a submodule's usually leads into the `.git` above it."""
    if link.is_symlink():
        return True
    text = _read_link(link)
    return bool(text) and borders.lead(text, link.parent, at) != text


def plan_repository(plan: CopyPlan, entry: Path, name: str) -> None:
    """Plan that the repository which `entry` is, or leads to, is `name` in the copy, in a folder that is planned.

    What can't be made a repository of its own is not in the copy; the plan has a warning. A link that leads nowhere isn't, either.
    """
    own = _follow(entry)
    shared = _find_shared(own)
    if not own.is_dir() or not shared.is_dir():
        return
    borders = Borders(plan.source)
    place = RepositoryPlace(own, name, borders, is_linked=own != shared)
    found = _Found(place)
    try:
        if own != shared:
            _check_references(shared)
            found.look(shared, "", are_mains_left=True)
        found.look(own, "", are_mains_left=False)
    except UncopyableError as error:
        plan.warnings.append(f"the jobs' copies have no '{name}': {error}")
        return
    found.add_to(plan)


def _follow(entry: Path) -> Path:
    """The repository that a folder, link or file named `.git` is, or leads to, all links followed."""
    text = _read_link(entry) if entry.is_file() else ""
    return Path(os.path.realpath(entry.parent / text if text else entry))


def _read_link(file: Path) -> str:
    """Where a `.git` file leads, as it is written (gitrepository-layout(5)); empty when it is none."""
    try:
        kind, _, text = file.read_text(encoding="utf-8", errors="surrogateescape").partition(": ")
    except OSError:
        return ""
    return text.rstrip("\r\n") if kind == "gitdir" else ""


def _find_shared(own: Path) -> Path:
    """What all work trees of the repository share (`commondir`); itself when it has but one."""
    try:
        text = (own / "commondir").read_text(encoding="utf-8", errors="surrogateescape").rstrip("\r\n")
    except OSError:
        return own
    return Path(os.path.realpath(own / text))


def _check_references(shared: Path) -> None:
    if (shared / "reftable").exists():
        raise UncopyableError("the references of its work trees can't be brought together (reftable)")


@dataclass(slots=True)
class _Found:
    """What is found of one repository, by its name in there."""

    place: RepositoryPlace
    folders: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    written: dict[str, bytes] = field(default_factory=dict)
    size_bytes: int = 0

    def add_to(self, plan: CopyPlan) -> None:
        name = self.place.name
        if name:
            plan.folders.setdefault(name, str(self.place.folder))
        prefix = f"{name}/" if name else ""
        plan.folders |= {prefix + path: source for path, source in self.folders.items()}
        plan.files |= {prefix + path: source for path, source in self.files.items()}
        plan.links |= {prefix + path: text for path, text in self.links.items()}
        plan.written |= {prefix + path: content for path, content in self.written.items()}
        plan.size_bytes += self.size_bytes

    def look(self, top: Path, name: str, *, are_mains_left: bool, above: tuple[Path, ...] = ()) -> None:
        """Take the folder `top` of the disk as `name` of the repository; `above` are those that a link led out of."""
        waiting = [(top, name)]
        while waiting:  # folders lie in one another deeper than calls may
            folder, path = waiting.pop()
            entries = _list_entries(folder)
            is_own = not path or any(entry.name == "HEAD" for entry in entries)
            holder = self._holder(folder, path) if is_own else None
            for entry in entries:
                inner = f"{path}/{entry.name}" if path else entry.name
                if self._is_left(folder, entry.name, inner, are_mains_left=are_mains_left):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    self.folders[inner] = entry.path
                    waiting.append((Path(entry.path), inner))
                elif holder is not None and entry.name in _CONFIGS:
                    self._take_file(entry.path, inner, settle_config(Path(entry.path), holder))
                elif inner == _BORROWED or inner.endswith(f"/{_BORROWED}"):
                    self._take_file(entry.path, inner, self._settle_borrowed(Path(entry.path), inner))
                elif entry.is_symlink():
                    self._take_link(Path(entry.path), inner, (*above, top))
                else:
                    self._take_file(entry.path, inner, None)

    def _holder(self, folder: Path, path: str) -> RepositoryPlace:
        """The place of the repository that lies in the folder: this one, or that of a submodule."""
        if not path:
            return self.place
        return replace(self.place, folder=folder, name=self._full(path), is_linked=False)

    def _full(self, inner: str) -> str:
        return f"{self.place.name}/{inner}".lstrip("/")

    def _is_left(self, folder: Path, name: str, inner: str, *, are_mains_left: bool) -> bool:
        if (
            are_mains_left
            and inner == name
            and (name.endswith(_MAINS_END) or name.startswith(_MAINS_BEGINNINGS))
        ):
            return True
        if are_mains_left and inner in _MAINS:
            return True
        if self.place.is_linked and inner in _OF_TREES:
            return True
        is_of_trees = inner.rpartition("/")[0].rpartition("/")[2] == "worktrees"
        return is_of_trees and not self._is_inner_tree(folder / name, inner)

    def _is_inner_tree(self, folder: Path, inner: str) -> bool:
        """Whether a linked work tree lies in the copy, too, and the two lead to one another there."""
        if not (folder / "gitdir").is_file():
            return not (folder / "commondir").exists()  # something else
        at = self._full(inner)
        for file in ("gitdir", "commondir"):
            with contextlib.suppress(OSError):
                text = (folder / file).read_text(encoding="utf-8", errors="surrogateescape").rstrip("\r\n")
                if self.place.borders.lead(text, folder, at) != text:
                    return False
        return True

    def _take_link(self, link: Path, inner: str, above: tuple[Path, ...]) -> None:
        text = os.readlink(link)  # noqa: PTH115 - as text
        real = Path(os.path.realpath(link))
        if real.is_relative_to(above[-1]):
            is_inside = Path(os.path.normpath(link.parent / text)).is_relative_to(above[-1])
            self._keep_link(inner, text if is_inside else os.path.relpath(real, link.parent))
        elif led := self.place.borders.lead(text, link.parent, self._full(inner).rpartition("/")[0]):
            self._keep_link(inner, led)
        elif real.is_file():
            self._take_file(str(real), inner, None)
        elif real.is_dir() and not any(folder.is_relative_to(real) for folder in above):
            self.folders[inner] = str(real)
            self.look(real, inner, are_mains_left=False, above=above)

    def _keep_link(self, inner: str, text: str) -> None:
        self.files.pop(inner, None)
        self.links[inner] = text

    def _take_file(self, source: str, inner: str, settled: bytes | None) -> None:
        """Take a file, or what else is no folder and no link; `settled` is its content where it is not the original's."""
        self.links.pop(inner, None)
        self.files[inner] = os.path.realpath(source) if os.path.islink(source) else source  # noqa: PTH114 - each is text
        with contextlib.suppress(OSError):
            status = os.stat(source)  # noqa: PTH116
            self.size_bytes += status.st_size if stat.S_ISREG(status.st_mode) else 0
        if settled is None:
            self.written.pop(inner, None)
        else:
            self.written[inner] = settled

    def _settle_borrowed(self, file: Path, inner: str) -> bytes | None:
        """The folders whose objects are borrowed: by where they lie, or in the copy by the way there."""
        objects, at = file.parent.parent, self._full(inner).removesuffix("/info/alternates")
        try:
            lines = os.fsdecode(file.read_bytes()).splitlines()
        except OSError:
            return None
        settled = [
            line
            if line.startswith(("#", '"')) or not line
            else self.place.borders.lead(line, objects, at) or os.path.realpath(objects / line)
            for line in lines
        ]
        return None if settled == lines else os.fsencode("".join(f"{line}\n" for line in settled))


def _list_entries(folder: Path) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as found:
            return list(found)
    except FileNotFoundError:  # meanwhile
        return []
