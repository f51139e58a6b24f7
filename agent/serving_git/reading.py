"""Commits, refs, differences and files of a repository, in git's own words, as records."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.errors import AgentError, NotFoundError
from agent.serving_git.commands import run_own

_SECONDS: Final = 60
_LARGEST_BYTES: Final = 10 << 20
_FIELDS: Final = ("%H", "%T", "%P", "%an", "%ae", "%aI", "%cn", "%ce", "%cI", "%B")
_KINDS: Final = {"A": "added", "D": "removed", "M": "modified", "R": "renamed", "C": "copied", "T": "changed"}
_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_REVISION: Final = re.compile(
    r"(?![-/.])(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|$)|[/.]$))[^\x00-\x20\x7f~^:?*\[\\]+"
)


@dataclass(frozen=True, slots=True)
class CommitFacts:
    """A commit; dates are ISO 8601."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: tuple[str, str, str]  # name, address, date
    committer: tuple[str, str, str]
    message: str


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A file that differs. `status` is GitHub's word; lines are 0 of a file that is not text."""

    name: str
    status: str
    sha: str
    additions: int
    deletions: int
    previous: str = ""


@dataclass(frozen=True, slots=True)
class Ref:
    """A branch or tag: its object, the commit that this leads to, and when it was made (ISO 8601)."""

    name: str
    oid: str
    commit: str
    date: str


class RepositoryReader:
    """Reads one repository. Raises NotFoundError for what it does not have, and AgentError with git's words."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_commit(self, name: str) -> str:
        """The commit that `name` is: a branch, a tag, a full ref, a commit or its first seven digits and more."""
        if not _REVISION.fullmatch(name):
            raise NotFoundError("No commit found for SHA: " + name[:80])
        names = [
            f"refs/heads/{name}",
            f"refs/tags/{name}",
            f"refs/{name}",
            *([name] if name.startswith("refs/") else []),
        ]
        names += [name] if _COMMIT.fullmatch(name) or name == "HEAD" else []
        for one in names:
            try:
                return self._run("rev-parse", "--verify", "--quiet", f"{one}^{{commit}}").decode().strip()
            except AgentError:
                continue
        raise NotFoundError("No commit found for SHA: " + name[:80])

    def list_commits(self, *revisions: str, most: int = 250, skip: int = 0) -> list[CommitFacts]:
        """The commits, the newest first."""
        form = "--format=" + "%x00".join(_FIELDS)
        said = self._run("log", "-z", form, f"--max-count={most}", f"--skip={skip}", *revisions, "--")
        words = said.decode("utf-8", "replace").split("\0")
        size = len(_FIELDS)
        return [_read_commit(words[place : place + size]) for place in range(0, len(words) - size + 1, size)]

    def count(self, revisions: str) -> int:
        """How many commits there are."""
        return int(self._run("rev-list", "--count", revisions, "--"))

    def merge_base(self, one: str, other: str) -> str:
        """The newest commit that both come from; "" when there is none."""
        try:
            return self._run("merge-base", one, other).decode().strip()
        except AgentError:
            return ""

    def list_refs(self, prefix: str, *, sort: str = "refname") -> list[Ref]:
        """The refs below `prefix`."""
        form = "--format=%(refname) %(objectname) %(*objectname) %(creatordate:iso-strict)"
        lines = (
            self._run("for-each-ref", form, f"--sort={sort}", prefix).decode("utf-8", "replace").splitlines()
        )
        found = [line.split(" ") for line in lines]
        return [Ref(name, oid, peeled or oid, date) for name, oid, peeled, date in found]

    def list_changes(self, base: str, head: str) -> list[ChangedFile]:
        """The files that differ between two commits; `base` "" is nothing at all."""
        base = base or self._run("hash-object", "-t", "tree", "--stdin").decode().strip()
        options = ("-r", "-z", "-M", "--root", "--no-commit-id")
        lines = dict(_read_lines(self._run("diff-tree", *options, "--numstat", base, head)))
        return list(
            _read_changes(self._run("diff-tree", *options, "--raw", "--abbrev=64", base, head), lines)
        )

    def read_file(self, commit: str, path: str) -> tuple[str, bytes]:
        """A file's object and content. Raises NotFoundError."""
        for mode, kind, oid, name in self.list_folder(commit, path):
            if name == path and kind == "blob" and mode != "160000":
                if int(self._run("cat-file", "-s", oid)) > _LARGEST_BYTES:
                    raise AgentError(f"the file is over {_LARGEST_BYTES} bytes: check the code out instead")
                return oid, self._run("cat-file", "blob", oid)
        raise NotFoundError("Not Found")

    def list_folder(self, commit: str, path: str) -> list[tuple[str, str, str, str]]:
        """What is at `path`, which ends in `/` for what is in it: mode, kind, object, name."""
        said = self._run("ls-tree", "-z", "--full-tree", commit, *(["--", path] if path else []))
        rows = [line.decode("utf-8", "replace").split("\t", 1) for line in said.split(b"\0") if line]
        return [(*facts.split(" "), name) for facts, name in rows]  # type: ignore[misc]

    def _run(self, *arguments: str) -> bytes:
        return run_own(*arguments, folder=self._folder, seconds=_SECONDS)


def _read_commit(words: Sequence[str]) -> CommitFacts:
    sha, tree, parents, *people, message = words
    author = (people[0], people[1], people[2])
    return CommitFacts(
        sha, tree, tuple(parents.split()), author, (people[3], people[4], people[5]), message.strip("\n")
    )


def _read_lines(said: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
    """`diff-tree -z --numstat`: lines added and removed, by the file's name; of a renamed one by its new name."""
    words = iter(said.decode("utf-8", "replace").split("\0"))
    for word in words:
        if not word:
            continue
        added, removed, name = word.split("\t")
        if not name:
            next(words)
            name = next(words)
        yield name, (int(added) if added != "-" else 0, int(removed) if removed != "-" else 0)


def _read_changes(said: bytes, lines: dict[str, tuple[int, int]]) -> Iterator[ChangedFile]:
    words = iter(said.decode("utf-8", "replace").split("\0"))
    for word in words:
        if not word:
            continue
        _, _, old, new, kind = word.removeprefix(":").split(" ")
        first = next(words)
        name = next(words) if kind[0] in "RC" else first
        added, removed = lines.get(name, (0, 0))
        status = _KINDS.get(kind[0], "changed")
        yield ChangedFile(
            name, status, old if kind[0] == "D" else new, added, removed, first if name != first else ""
        )
