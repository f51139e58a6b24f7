"""References of somebody's own repository: what leads to its commits, read and written by git.

No hook of the repository has a say in what is written here: an action may have put one there.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from agent.asking_git import git_environment
from agent.job.in_place.belongings import ask_git

_FORMAT = "%(objectname) %(symref) %(refname)"  # what asks for the object itself fails where one is missing
# Not the user's word: what others have (a fetch moves it), what one work tree has while it is at something, and ours.
_NOT_ASKED = ("remotes/", "prefetch/", "bisect/", "worktree/", "rewritten/", "flow-agent/")
_STASH = "refs/stash"
_NO_HOOKS = ("-c", "core.hooksPath=/dev/null")


class Target(NamedTuple):
    """What a reference leads to."""

    object: str  # its name: 40 or 64 hexadecimal digits
    link: str = ""  # the reference that it is another name of


@dataclass(frozen=True, slots=True)
class References:
    """What leads to commits: references by their full names, work trees that are on no branch, and stashes."""

    named: dict[str, Target]
    heads: tuple[str, ...] = ()  # commits
    stashes: tuple[tuple[str, str], ...] = ()  # commit and message, the newest first
    checked_out: frozenset[str] = field(default_factory=frozenset)  # branches, by their full names


def read_references(folder: Path) -> References | None:
    """Those of the repository around `folder`; None outside of git, and where git can't read it."""
    named = list_references(folder)
    if named is None:
        return None
    mine = {
        name: target
        for name, target in named.items()
        if not name[5:].startswith(_NOT_ASKED) and name != _STASH
    }
    trees = list(_read_trees(ask_git(folder, "worktree", "list", "--porcelain") or ""))
    heads = tuple(dict.fromkeys(commit for commit, branch in trees if not branch))
    stashes = ask_git(folder, "reflog", "show", "--format=%H %gs", _STASH) or ""
    return References(
        mine,
        heads,
        tuple(
            (commit, message)
            for commit, _, message in (line.partition(" ") for line in stashes.split("\n") if line)
        ),
        frozenset(branch for _, branch in trees if branch),
    )


def list_references(folder: Path, *patterns: str) -> dict[str, Target] | None:
    """All references below `patterns`, by their full names; None where git can't read them."""
    found = ask_git(folder, "for-each-ref", f"--format={_FORMAT}", *patterns)
    if found is None:
        return None
    lines = (line.split(" ", 2) for line in found.splitlines())
    return {name: Target(what, link) for what, link, name in lines}


def update_references(folder: Path, commands: Sequence[str]) -> bool:
    """Carry out the commands of git-update-ref(1), all or none; whether they were."""
    text = "".join(f"{command}\n" for command in commands)
    return not commands or write(folder, ["update-ref", "--no-deref", "--stdin"], text)


def link_reference(folder: Path, name: str, link: str) -> bool:
    """Make `name` another name of the reference `link`."""
    return write(folder, ["symbolic-ref", name, link])


def store_stash(folder: Path, commit: str, message: str) -> bool:
    """Make `commit` the newest stash."""
    return write(folder, ["stash", "store", "--quiet", "--message", message, commit])


def is_reached(folder: Path, target: Target, now: References) -> bool:
    """Whether a branch, a tag or a work tree leads to the commit, or a reference to what is no commit."""
    if not is_commit(folder, target):
        return any(target.object == other.object for other in now.named.values())
    others = ["--branches", "--tags", *now.heads]
    return ask_git(folder, "rev-list", "--max-count=1", target.object, "--not", *others) == ""


def is_commit(folder: Path, target: Target) -> bool:
    """Whether it is a commit, and no tag with a message, file or folder."""
    return ask_git(folder, "cat-file", "-t", target.object) == "commit"


def write(
    folder: Path, arguments: Sequence[str], text: str = "", environment: Mapping[str, str] | None = None
) -> bool:
    """Have git write something, no hook asked; whether it did."""
    command = ["git", "-C", str(folder), *_NO_HOOKS, *arguments]
    done = subprocess.run(
        command,
        input=os.fsencode(text),
        env={**git_environment(), **(environment or {})},
        cwd="/",
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _read_trees(text: str) -> Iterator[tuple[str, str]]:
    """Commit and branch of each work tree in `git worktree list --porcelain`: one of the two is empty."""
    commit = ""
    for line in text.splitlines():
        match line.split(" ", 1):
            case ["HEAD", found]:
                commit = found if found.strip("0") else ""
            case ["branch", branch]:
                yield "", branch
            case ["detached"] if commit:
                yield commit, ""
            case _:
                pass
