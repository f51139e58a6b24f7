"""Branches, tags and stashes of somebody's own repository: what an action does to them, no commit is lost by it.

    before an action    each is noted, and its commit held by a reference of ours, so that no `git gc` takes it
    afterwards          one that is gone is put back; one that was moved away from its commit: the commit is put beside it, as a
                        branch `kept-by-flow-agent/NAME`, unless something else leads to it still; a stash is stashed again
    then                our references go

Whatever way an action takes (push, fetch, update-ref, an alias, files under `.git`), its job fails when something had to be put back.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from agent.asking_git import git_environment
from agent.job.in_place.belongings import ask_git

_HELD = "refs/flow-agent/held"
_BESIDE = "refs/heads/kept-by-flow-agent"
_KINDS = ("refs/heads", "refs/tags")
_STASH = "refs/stash"


@dataclass(frozen=True, slots=True)
class Branches:
    """What led to commits: references by name, and the stash, the newest first."""

    named: dict[str, str]
    stashed: tuple[str, ...]


def hold_branches(folder: Path) -> Branches | None:
    """Note what leads to commits in the repository around `folder`, and hold all of it; None outside of git."""
    branches = _list(folder)
    if branches is not None:
        commits = sorted({*branches.named.values(), *branches.stashed})
        _update(folder, [f"update {_HELD}/{commit} {commit}" for commit in commits])
    return branches


def put_back(folder: Path, before: Branches) -> list[str]:
    """Put back what an action took away: the names of what was lost. Nothing of ours stays."""
    now = _list(folder)
    lost: list[str] = []
    if now is not None:
        for name, commit in before.named.items():
            if name not in now.named and name != "HEAD":
                _update(folder, [f"update {name} {commit}"])
                lost.append(name)
            elif now.named.get(name) != commit and not _is_reached(folder, commit):
                _update(folder, [f"update {_BESIDE}/{name.removeprefix('refs/')} {commit}"])
                lost.append(name)
        for commit in reversed([one for one in before.stashed if one not in now.stashed]):
            ask_git(folder, "stash", "store", "-q", "-m", "kept by flow-agent", commit)
            lost.append(f"stash {commit[:10]}")
    held = ask_git(folder, "for-each-ref", "--format=%(refname)", _HELD) or ""
    _update(folder, [f"delete {name}" for name in held.splitlines()])
    return [name.removeprefix("refs/heads/") for name in lost]


def _list(folder: Path) -> Branches | None:
    found = ask_git(folder, "for-each-ref", "--format=%(objectname) %(refname)", *_KINDS)
    if found is None:
        return None
    pairs = (line.split(" ", 1) for line in found.splitlines())
    head = ask_git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    own = {"HEAD": head} if head else {}  # it may be on no branch
    stashed = ask_git(folder, "reflog", "show", "--format=%H", _STASH) or ""
    return Branches({**own, **{name: commit for commit, name in pairs}}, tuple(stashed.split()))


def _is_reached(folder: Path, commit: str) -> bool:
    """Whether a branch or tag still leads to the commit."""
    return bool(ask_git(folder, "for-each-ref", "--count=1", f"--contains={commit}", *_KINDS))


def _update(folder: Path, commands: list[str]) -> None:
    if commands:
        subprocess.run(
            ["git", "-C", str(folder), "update-ref", "--no-deref", "--stdin"],
            input=os.fsencode("".join(f"{command}\n" for command in commands)),
            env=git_environment(),
            cwd="/",
            capture_output=True,
            check=False,
        )
