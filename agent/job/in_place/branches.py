"""Branches, tags and stashes of somebody's own repository: what an action does to them, no commit is lost by it.

    gone                                            put back
    a tag moved                                     put back: git moves none unless it is forced to
    a branch moved, its commits led to no more      put back; but one that is checked out stays, as its files are there
    a stash gone                                    stashed again, with its message
    staged no more                                  staged again (agent.job.in_place.index)
    an entry of the index gone, its file there      put back (agent.job.in_place.index_file)
    what would be led to no more after that         kept beside, as the branch (no commit: the tag) `kept-by-flow-agent/NAME`

Whatever way an action takes (push, fetch, update-ref, an alias, files under `.git`), its job fails when something had to be done.
What can neither be put back nor kept beside stays held (agent.job.in_place.held), and the next run tries again.
"""

import contextlib
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from pathlib import Path
from typing import NamedTuple

from agent.job.in_place.belongings import ask_git
from agent.job.in_place.held import INDEX, Held, take_left
from agent.job.in_place.index import find_unstaged, restage
from agent.job.in_place.index_file import make_anew, put_back_entries
from agent.job.in_place.references import (
    References,
    Target,
    is_commit,
    is_reached,
    link_reference,
    read_references,
    store_stash,
    update_references,
)

_BESIDE = "kept-by-flow-agent"
_MOST_BESIDE = 20  # of one name
_MOST_NAMED = 5


class Remedy(Enum):
    """What became of something that an action took away."""

    BACK = auto()
    BESIDE = auto()
    HELD = auto()
    REACHED = auto()  # nothing was to be done: something else leads to it
    LEFT = auto()  # nor here: another branch is checked out


class Taken(NamedTuple):
    """Something that an action took away: `name` is gone (or else was moved); `kept` is what leads to the rest."""

    name: str
    is_gone: bool
    remedy: Remedy
    kept: str = ""
    what: str = "what it led to before"


class UnreadableError(Exception):
    """Git can't read the repository any more; all stays held, and the next run tries to put it back."""


def put_back(folder: Path, held: Held) -> list[Taken]:
    """Put back what is not as it was `held`. Nothing of ours stays, but for what is lost otherwise. Raises UnreadableError."""
    return _PuttingBack(folder, held, may_move=True).run()


def put_back_left(folder: Path) -> list[Taken]:
    """Put back what is gone since a process held it that has died. What is there, in whatever state, is not moved: time has passed."""
    taken: list[Taken] = []
    for held in take_left(folder):
        with contextlib.suppress(UnreadableError):  # it is taken up again by the next run
            taken += _PuttingBack(folder, held, may_move=False).run()
    return taken


def is_harmless(taken: Taken) -> bool:
    """Whether nothing had to be done about it: it is said, and fails nobody."""
    return taken.remedy in {Remedy.REACHED, Remedy.LEFT}


def describe(taken: Sequence[Taken]) -> str:
    """What was done, after `the action`."""
    clauses = [
        f"{verb} {_join(names)}, which {'is' if len(names) == 1 else 'are'} put back"
        for verb, is_gone in (("took away", True), ("moved", False))
        if (names := [one.name for one in taken if _is_back(one) and one.is_gone is is_gone])
    ]
    rest = [one for one in taken if one.kept]
    clauses += map(_describe, rest[:_MOST_NAMED])
    if len(rest) > _MOST_NAMED:
        clauses.append(f"did the like to {len(rest) - _MOST_NAMED} more (`git branch --list '{_BESIDE}/*'`)")
    return "; and ".join(clauses)


class _PuttingBack:
    def __init__(self, folder: Path, held: Held, *, may_move: bool) -> None:
        self._folder = folder
        self._held = held
        self._before = held.before
        self._may_move = may_move
        self._unsafe: list[str] = []  # places that are to stay held
        self._between: list[tuple[Taken, Target]] = []  # where what was moved led to before it was put back

    def run(self) -> list[Taken]:
        now = read_references(self._folder)
        if now is None:
            self._held.leave()
            raise UnreadableError
        taken = [*self._check_named(now), *self._check_heads(now), *self._check_stashes(now)]
        taken = [self._keep_between(one) for one in taken]
        taken += [*self._check_index(), *self._check_entries(), *self._check_branch(now)]
        self._held.let_go(self._folder, but=self._unsafe)
        return taken

    def _check_named(self, now: References) -> Iterator[Taken]:
        # What stays comes last: what others were moved to, and are no more, may be what it has lost.
        order = {
            name: (name in now.checked_out, not name.startswith("refs/tags/")) for name in self._before.named
        }
        for name in sorted(order, key=order.__getitem__):
            was = self._before.named[name]
            found = now.named.get(name)
            if found is None:
                yield self._restore(name, was, None)
            elif (was.link and found.link != was.link) or self._is_lost(name, was, found, now):
                is_fixed = name in now.checked_out or not self._may_move
                yield (
                    self._keep(name, name, was, is_gone=False)
                    if is_fixed
                    else self._restore(name, was, found)
                )
            elif (
                self._may_move
                and found.object != was.object
                and (leads := self._find_other(name, was, found))
            ):
                yield Taken(_short(name), is_gone=False, remedy=Remedy.REACHED, kept=leads)

    def _is_lost(self, name: str, was: Target, found: Target, now: References) -> bool:
        """Whether moving it from `was` to what is `found` lost something."""
        if found.object == was.object or was.link:
            return False
        if self._may_move and name.startswith("refs/tags/"):
            return True
        heads = (*now.heads, found.object) if is_commit(self._folder, found) else now.heads
        seen = References(now.named, heads)
        return not is_reached(self._folder, was, seen)

    def _find_other(self, name: str, was: Target, found: Target) -> str:
        """What still leads to the former commits of a branch that was set back; empty where it only went forward."""
        if ask_git(self._folder, "rev-list", "--max-count=1", was.object, "--not", found.object) == "":
            return ""
        pattern = ("refs/heads", "refs/tags")
        asked = ("for-each-ref", "--format=%(refname)", f"--contains={was.object}", *pattern)
        others = (ask_git(self._folder, *asked) or "").splitlines()
        return _short(next((other for other in others if other != name), "another work tree"))

    def _restore(self, name: str, was: Target, moved_to: Target | None) -> Taken:
        if was.link:
            is_back = link_reference(self._folder, name, was.link)
        else:
            is_back = update_references(self._folder, [f"update {name} {was.object}"])
        if not is_back:
            return self._keep(name, name, was, is_gone=moved_to is None)
        taken = Taken(_short(name), moved_to is None, Remedy.BACK)
        if moved_to is not None:
            self._between.append((taken, moved_to))
        return taken

    def _check_heads(self, now: References) -> Iterator[Taken]:
        for number, commit in enumerate(self._before.heads):
            was = Target(commit)
            if not is_reached(self._folder, was, now):
                yield self._keep("HEAD", f"head/{number}", was, is_gone=False)

    def _check_stashes(self, now: References) -> Iterator[Taken]:
        there = {commit for commit, _ in now.stashes}
        for number, (commit, message) in reversed([*enumerate(self._before.stashes)]):
            if commit in there:
                continue
            if store_stash(self._folder, commit, message):
                yield Taken(f"stash '{message}'", is_gone=True, remedy=Remedy.BACK)
            else:
                yield self._keep("stash", f"stash/{number}", Target(commit), is_gone=True)

    def _check_branch(self, now: References) -> Iterator[Taken]:
        left = sorted(self._before.checked_out - now.checked_out)
        if self._may_move and left:
            here = ask_git(self._folder, "symbolic-ref", "--quiet", "--short", "HEAD") or "no branch"
            yield Taken(_join([_short(name) for name in left]), is_gone=False, remedy=Remedy.LEFT, kept=here)

    def _check_entries(self) -> Iterator[Taken]:
        was = self._held.index_file
        if self._may_move and was is not None:
            if paths := put_back_entries(self._folder, was, self._held.index):
                yield Taken(f"the index's entries of {_join(paths)}", is_gone=True, remedy=Remedy.BACK)
        elif not self._may_move and make_anew(self._folder, self._held.index):
            yield Taken("the index (.git/index)", is_gone=True, remedy=Remedy.BACK)

    def _check_index(self) -> Iterator[Taken]:
        if not self._held.index:
            return
        if self._may_move and (paths := restage(self._folder, self._held.index)):
            yield Taken(f"what was staged of {_join(paths)}", is_gone=True, remedy=Remedy.BACK)
        if paths := find_unstaged(self._folder, self._held.index):
            kept = self._keep(INDEX, INDEX, Target(self._held.index), is_gone=True)
            yield kept._replace(name=f"what was staged of {_join(paths)}", what="it")

    def _keep(self, name: str, place: str, was: Target, *, is_gone: bool) -> Taken:
        """Keep beside what can't be put back; where even that is not to be done, it stays held."""
        if kept := self._put_beside(name, was):
            return Taken(_short(name), is_gone, Remedy.BESIDE, kept)
        self._unsafe.append(place)
        return Taken(_short(name), is_gone, Remedy.HELD, self._held.name_of(place))

    def _put_beside(self, name: str, target: Target) -> str:
        """A new reference that leads to `target`, as people write it; empty when there can be none."""
        bare = f"{_BESIDE}/{_short(name)}"
        kind = "refs/heads" if is_commit(self._folder, target) else "refs/tags"
        numbered = (f"{bare}-{number}" for number in range(2, _MOST_BESIDE))
        for beside in (bare, *numbered, f"{_BESIDE}/{target.object[:12]}"):
            if update_references(self._folder, [f"create {kind}/{beside} {target.object}"]):
                return beside
        return ""

    def _keep_between(self, one: Taken) -> Taken:
        """Keep beside what the action made of something that is put back, where nothing else leads to it."""
        for target in (target for taken, target in self._between if taken is one):
            now = read_references(self._folder)
            if now is not None and not is_reached(self._folder, target, now):
                return one._replace(kept=self._put_beside(one.name, target))
        return one


def _is_back(taken: Taken) -> bool:
    return taken.remedy is Remedy.BACK and not taken.kept


def _describe(taken: Taken) -> str:
    verb = "took away" if taken.is_gone else "moved"
    match taken.remedy:
        case Remedy.BACK:
            return (
                f"{verb} {taken.name}, which is put back (what it led to in between is kept as {taken.kept})"
            )
        case Remedy.BESIDE:
            return f"{verb} {taken.name}: {taken.what} is kept as {taken.kept}"
        case Remedy.HELD:
            return f"{verb} {taken.name}, which can't be put back: what it led to is held by {taken.kept}, and the next run tries again"
        case Remedy.REACHED:
            return f"moved {taken.name} back: what it led to before is still in {taken.kept}"
        case Remedy.LEFT:
            return f"left {taken.name}: what is checked out now is {taken.kept}"


def _join(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _short(name: str) -> str:
    """The name as people write it."""
    return name.removeprefix("refs/heads/").removeprefix("refs/tags/").removeprefix("refs/")
