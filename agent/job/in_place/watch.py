"""A watch over somebody's own folder while one action runs in it: what is held before, and what is done after.

The repository around the folder and those within it are held alike. What an action of the run made itself is nobody's belonging, whichever
job it was in: it is noted beside the belongings, for the actions that come later.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent.job.in_place.belongings import Belonging, find_shared
from agent.job.in_place.branches import Taken, UnreadableError, describe, is_harmless, put_back
from agent.job.in_place.checkouts import is_replaceable
from agent.job.in_place.files import HeldFiles, begin_holding
from agent.job.in_place.held import Held, hold_references
from agent.job.in_place.index_file import put_back_file
from agent.job.in_place.losses import settle_losses, show_kept
from agent.job.in_place.objects import MOST_FILES, describe_objects, is_object, put_back_objects
from agent.job.in_place.survey import MOST_THINGS, Survey, look_at_objects, survey

_MOST_REPOSITORIES = 50


class Watched(Protocol):
    """What of a job's guard is asked here (agent.job.in_place.protection.InPlace)."""

    workspace: Path
    belongings: Mapping[str, Belonging]
    file: Path
    made: set[Path]
    files: HeldFiles | None


@dataclass(frozen=True, slots=True)
class Toll:
    """What an action did, after `the action`: what fails its job, and what is only said. Each is empty when there is nothing."""

    failing: str = ""
    said: str = ""
    is_final: bool = False  # something is lost for good


@dataclass(slots=True)
class Watch:
    """What was there before the action."""

    before: Survey
    held: list[tuple[str, Held]]  # by the repository's path in the folder, empty for the one around it
    unheld: list[str]  # why not all of it is held, after `the action`

    def end(self, place: Watched) -> Toll:
        """Put back and keep aside what is to be."""
        if moved := self._describe_move(place):
            return Toll(moved)
        first = list(self._put_back_gits(place))  # what git says of the files is asked after that
        after = _survey(place)
        losses = settle_losses(place.workspace, self.before, after, place.files)
        _note_made(place, after, self.before)
        kept = show_kept(place.files, place.workspace)
        failing, said = losses.describe(place.workspace, kept), losses.describe_said(place.workspace, kept)
        clauses, harmless = [failing, *first], [said]
        for name, held in self.held:
            inside = f" (in {name})" if name else ""
            folder = place.workspace / name
            if not folder.is_dir() or str(folder) in losses.replaced or str(folder / ".git") in losses.gone:
                held.leave()
                continue
            try:
                taken = put_back(folder, held)
            except UnreadableError:
                clauses.append(_UNREADABLE + inside)
                continue
            clauses.append(_describe([one for one in taken if not is_harmless(one)], inside))
            harmless.append(_describe([one for one in taken if is_harmless(one)], inside))
        is_final = any(path not in losses.aside for path in (*losses.gone, *losses.overwritten))
        harmless += self.unheld
        return Toll("; and ".join(filter(None, clauses)), "; and ".join(filter(None, harmless)), is_final)

    def _describe_move(self, place: Watched) -> str:
        """Where the folder is now, after `the action`, and all of it left to the next run there; empty when it was not moved away."""
        now = place.files.moved_to() if place.files is not None else None
        if now is None or place.files is None:
            return ""
        for _, held in self.held:
            held.leave()
        place.files.leave()
        place.files = None
        return f"moved the folder away: it is '{now}' now, and what is held of it is in there; nothing was put back"

    def _put_back_gits(self, place: Watched) -> Iterator[str]:
        """What git needs to be asked anything: its objects and its index."""
        for repository, paths in self.before.objects.items():
            if place.files is not None and (back := put_back_objects(paths, place.files.give_back)):
                name = os.path.relpath(repository, place.workspace)
                yield describe_objects(back, "" if name == "." else f" (in {name})")
        for name, held in self.held:
            inside = f" (in {name})" if name else ""
            was = held.index_file
            if was is not None and put_back_file(place.workspace / name, was, held.index):
                yield f"took away the index (.git/index), which is put back{inside}"


_UNREADABLE = (
    "left a repository that git can't read any more;"
    " what its branches, tags and stashes were is held in there, and put back once a run finds it readable"
)


def begin_watch(place: Watched) -> Watch:
    """Hold what is there now."""
    if place.files is None:
        place.files = begin_holding(place.workspace, find_shared(place.workspace))
    before = _survey(place)
    for path in _read_made(place):
        before.notes.pop(path, None)
    unheld = list(_list_unheld(before))
    del before.repositories[_MOST_REPOSITORIES:]
    before.replaceable = frozenset(path for path in before.repositories if is_replaceable(Path(path)))
    look_at_objects(before, [str(place.workspace), *before.repositories])
    if before.has_more_objects:
        unheld.append(
            f"ran in a folder with more than {MOST_FILES:,} files in `.git/objects`; the rest of them was not held"
        )
    if place.files is not None:
        place.files.hold(before.notes)
        place.files.note_repositories(before.repositories)
    return Watch(before, list(_hold_all(place.workspace, before.repositories)), unheld)


def _list_unheld(before: Survey) -> Iterator[str]:
    if before.is_cut:
        yield f"ran in a folder that alone has more than {MOST_THINGS:,} files and folders; the rest of them was not looked at"
    if len(before.repositories) > _MOST_REPOSITORIES:
        names = f"more than {_MOST_REPOSITORIES} other repositories"
        yield f"ran in a folder with {names}; the branches, tags and stashes of the rest were not looked at"


def _hold_all(workspace: Path, repositories: list[str]) -> Iterator[tuple[str, Held]]:
    for folder in (workspace, *map(Path, repositories)):
        if (held := hold_references(folder)) is not None:
            name = os.path.relpath(folder, workspace)
            yield ("" if name == "." else name), held


def _survey(place: Watched) -> Survey:
    ours = place.files.own if place.files is not None else []
    return survey(place.belongings, {*place.made, *ours})


def _note_made(place: Watched, after: Survey, before: Survey) -> None:
    """Remember what is new: it was made by an action."""
    known = _read_made(place)
    new = [path for path in after.notes if path not in before.notes and path not in known]
    new = [path for path in new if not is_object(path)]
    if new:
        with contextlib.suppress(OSError), _made_file(place).open("a", encoding="utf-8") as file:
            file.write("".join(f"{json.dumps(path)}\n" for path in new))


def _read_made(place: Watched) -> set[str]:
    with contextlib.suppress(OSError):
        return set(map(json.loads, _made_file(place).read_text(encoding="utf-8").splitlines()))
    return set()


def _made_file(place: Watched) -> Path:
    return place.file.with_name(f"{place.file.name}.made")


def _describe(taken: list[Taken], inside: str) -> str:
    return describe(taken) + inside if taken else ""
