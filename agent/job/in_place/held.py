"""Held references: what leads to commits in somebody's own repository, held by references of ours while an action runs in it.

    refs/flow-agent/held/ID/refs/...   what that reference led to; ID/head/0: a work tree on no branch; ID/stash/0: the newest stash; ID/index: a commit of what is staged
    .git/flow-agent/ID                 held (flock) by the process that watches the action; in it, what the stashes are called

    lock held by somebody   an action runs: nobody else's business
    lock held by nobody     the process that watched it died: what it held is to be put back before it is let go

No `git gc` takes what is held, and whoever comes after a process that died finds it by its name.
"""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from agent.job.in_place.belongings import find_shared
from agent.job.in_place.index import commit_index
from agent.job.in_place.index_file import IndexFile, read_index_file
from agent.job.in_place.references import (
    References,
    Target,
    list_references,
    read_references,
    update_references,
)

_NAMESPACE = "refs/flow-agent"
_HELD = f"{_NAMESPACE}/held"
_LOCKS = "flow-agent"
INDEX = "index"  # the place of what is staged


@dataclass(slots=True)
class Held:
    """What was there, and what holds it. Whoever has it has its lock, and gives it back with `let_go`."""

    before: References
    shared: Path  # the repository's folder
    id: str
    lock: int | None  # None: nothing could be written there, and so no action can, either
    index: str = ""  # a commit of what is staged: agent.job.in_place.index
    index_file: IndexFile | None = None  # None: there was none, or whoever held it has died

    def name_of(self, place: str) -> str:
        """The reference of ours that holds what was at `place`: `refs/heads/main`, `head/0`, `stash/0`."""
        return f"{_HELD}/{self.id}/{place}"

    def leave(self) -> None:
        """Leave all of it to a later run."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    def let_go(self, folder: Path, *, but: Iterable[str] = ()) -> None:
        """Hold no more, except for the places `but`; those a later run finds."""
        kept = {self.name_of(place) for place in but}
        held = list_references(folder, f"{_HELD}/{self.id}") or {}
        is_over = update_references(folder, [f"delete {name}" for name in held if name not in kept])
        if self.lock is not None and is_over and not kept:
            with contextlib.suppress(OSError):  # the action has put something else in its place, perhaps
                (self.shared / _LOCKS / self.id).unlink()
        self.leave()
        _remove_empty(self.shared)


def hold_references(folder: Path) -> Held | None:
    """Note what leads to commits in the repository around `folder`, and hold all of it; None outside of git."""
    before, shared = read_references(folder), find_shared(folder)
    if before is None or shared is None:
        return None
    held = Held(before, shared, secrets.token_hex(8), None, commit_index(folder), read_index_file(folder))
    with contextlib.suppress(OSError):
        held.lock = _take_lock(shared, held.id, fcntl.LOCK_EX)
        os.write(held.lock, os.fsencode("".join(f"{message}\n" for _, message in before.stashes)))
        os.fsync(held.lock)
    places = {
        **{name: target.object for name, target in before.named.items()},
        **{f"head/{number}": commit for number, commit in enumerate(before.heads)},
        **{f"stash/{number}": commit for number, (commit, _) in enumerate(before.stashes)},
        **({INDEX: held.index} if held.index else {}),
    }
    commands = [f"create {held.name_of(place)} {found}" for place, found in places.items()]
    if not update_references(folder, commands):  # one of them leads to nothing
        for command in commands:
            update_references(folder, [command])
    return held


def take_left(folder: Path) -> list[Held]:
    """What processes that died have left in the repository around `folder`; what lives is left alone."""
    shared = find_shared(folder)
    if shared is None or not ((shared / _LOCKS).is_dir() or (shared / _NAMESPACE).is_dir()):
        return []
    names = (name.split("/")[3] for name in list_references(folder, _HELD) or {})
    left = {*names, *(file.name for file in _list_locks(shared))}
    taken = [held for each in sorted(left) if (held := _take(folder, shared, each)) is not None]
    _remove_empty(shared)
    return taken


def _take(folder: Path, shared: Path, held_id: str) -> Held | None:
    try:
        lock = _take_lock(shared, held_id, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    with open(lock, "rb", closefd=False) as file:
        messages = os.fsdecode(file.read()).split("\n")
    whole = f"{_HELD}/{held_id}"
    found = list_references(folder, whole) or {}
    places = {name.removeprefix(f"{whole}/"): target for name, target in found.items()}
    former = places.pop(whole, None)  # a version before this one held a commit by that name alone
    heads = [target.object for place, target in places.items() if place.startswith("head/")]
    stashes = [
        (target.object, message or "kept by flow-agent")
        for number, message in zip_longest(range(len(places)), messages)
        if (target := places.get(f"stash/{number}"))
    ]
    named = {place: Target(target.object) for place, target in places.items() if place.startswith("refs/")}
    before = References(named, (*heads, *([former.object] if former else [])), tuple(stashes))
    index = places.get(INDEX)
    return Held(before, shared, held_id, lock, index.object if index else "")


def _take_lock(shared: Path, held_id: str, how: int) -> int:
    """Raises OSError when it can't be made, or is taken and not to be waited for."""
    file = shared / _LOCKS / held_id
    while True:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:  # the last one who held something took the folder away
            continue
        try:
            fcntl.flock(lock, how)
            if os.path.samestat(os.fstat(lock), os.stat(file, follow_symlinks=False)):  # noqa: PTH116
                return lock
        except FileNotFoundError:
            pass  # whoever had it has let go meanwhile
        except OSError:
            os.close(lock)
            raise
        os.close(lock)


def _list_locks(shared: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list((shared / _LOCKS).iterdir())
    return []


def _remove_empty(shared: Path) -> None:
    """Git leaves the upper folders of references that are gone."""
    for name in (_LOCKS, f"{_HELD}", _NAMESPACE, f"logs/{_HELD}", f"logs/{_NAMESPACE}"):
        with contextlib.suppress(OSError):  # somebody else holds something
            (shared / name).rmdir()
