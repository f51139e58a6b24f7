"""Repositories: which commit a ref is, and the files of a commit.

A ref is looked up as git does: a tag before a branch, then a full name (`refs/...`), then the beginning of a commit.
Exactly that commit is fetched, without history. Its files are then written by `tree.write_tree`, not checked out.
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path

from agent.errors import AgentError, NotFoundError
from agent.redaction import redact
from agent.resolve.sources.git_command import MovedError, run_git

LOOKUP_SECONDS = 60.0
FETCH_SECONDS = 900.0
DEFAULT_LIMIT_BYTES = 1024**3  # what a repository may weigh, packed as well as unpacked

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ABBREVIATED = re.compile(r"[0-9a-f]{7,63}")


__all__ = ["FoundRef", "MovedError", "UnknownRefError", "fetch", "find_ref", "is_commit"]


class UnknownRefError(NotFoundError):
    """The repository is there, the ref is not."""


@dataclass(frozen=True, slots=True)
class FoundRef:
    """What a ref is at a repository now; both are "" when it may be the beginning of a commit: a fetch will tell."""

    commit: str
    name: str  # in full, as `refs/tags/v1`, or the commit itself


def is_commit(ref: str) -> bool:
    """Whether `ref` is a commit's full name, which can mean nothing else."""
    return _COMMIT.fullmatch(ref) is not None


def find_ref(url: str, ref: str) -> FoundRef:
    """What `ref` is at `url`. A full commit is believed without asking.

    Raises UnknownRefError with the nearest refs that there are, and what `run_git` raises.
    """
    if is_commit(ref):
        return FoundRef(ref, ref)
    names = [
        f"refs/tags/{ref}",
        f"refs/heads/{ref}",
        *([ref] if ref.startswith("refs/") or ref == "HEAD" else []),
    ]
    there = _list_refs(url, [*names, f"refs/tags/{ref}^{{}}"])
    for name in names:
        if name in there:
            return FoundRef(there.get(f"{name}^{{}}", there[name]), name)
    if _ABBREVIATED.fullmatch(ref):
        return FoundRef("", "")
    raise _unknown(url, ref)


def fetch(
    url: str, ref: str, found: FoundRef, repository: Path, *, limit_bytes: int = DEFAULT_LIMIT_BYTES
) -> str:
    """Fetch what `ref` was found to be into the new bare `repository`; gives its commit, which may be newer.

    Raises UnknownRefError, and what `run_git` raises.
    """
    is_sha256 = len(found.commit) == 64 if found.commit else _is_sha256(url)
    kind = "--object-format=sha256" if is_sha256 else "--object-format=sha1"
    run_git(["init", "--quiet", "--bare", "--template=", kind, "--", str(repository)])
    if found.name:
        try:
            _fetch(url, repository, ["--depth=1"], [found.name], limit_bytes)
            return _commit_at(repository, "FETCH_HEAD")
        except NotFoundError:
            if not is_commit(ref):
                raise
    # The beginning of a commit; or a host that gives only what a branch or tag leads to.
    return _fetch_all(url, ref, repository, limit_bytes)


def _fetch_all(url: str, ref: str, repository: Path, limit_bytes: int) -> str:
    """Fetch every branch and tag and find the commit `ref` (a whole name or its beginning) there."""
    everything = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"]
    _fetch(url, repository, [], everything, limit_bytes)
    try:
        return _commit_at(repository, ref)
    except NotFoundError:
        raise _unknown(url, ref) from None


def _fetch(url: str, repository: Path, options: list[str], names: list[str], limit_bytes: int) -> None:
    run_git(
        ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", *options, "--", "{url}", *names],
        url=url,
        folder=repository,
        seconds=FETCH_SECONDS,
        limit_bytes=limit_bytes,
    )


def _commit_at(repository: Path, ref: str) -> str:
    try:
        output = run_git(["rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"], folder=repository)
    except AgentError:
        raise UnknownRefError(f"'{ref}' is not a commit") from None
    return output.decode().strip()


def _is_sha256(url: str) -> bool:
    return any(len(commit) == 64 for commit in _list_refs(url, ["HEAD", "refs/heads/*"]).values())


def _list_refs(url: str, patterns: list[str]) -> dict[str, str]:
    """Refs at `url` by full name."""
    output = run_git(["ls-remote", "--quiet", "--", "{url}", *patterns], url=url, seconds=LOOKUP_SECONDS)
    pairs = (line.split("\t", 1) for line in output.decode("utf-8", "replace").splitlines() if "\t" in line)
    return {name: commit for commit, name in pairs if _COMMIT.fullmatch(commit)}


def _order_names(name: str) -> tuple[bool, list[int], str]:
    """Versions first, the newest of them first, the short ones that move before those that don't: v10, v10.1, v9, main."""
    numbers = re.fullmatch(r"v?(\d{1,9}(?:\.\d{1,9})*)", name)
    parts = [] if numbers is None else [-int(part) for part in numbers[1].split(".")]
    return numbers is None, parts, name


def _unknown(url: str, ref: str) -> UnknownRefError:
    """The error for a ref that is not there, with the nearest that are."""
    refs = _list_refs(url, ["refs/heads/*", "refs/tags/*"])
    names = {name.split("/", 2)[2] for name in refs if not name.endswith("^{}")}
    names = {name for name in names if name.isprintable()}
    is_read_as_commit = ref in names and is_commit(ref)
    names.discard(ref)
    near = difflib.get_close_matches(ref, sorted(names), n=3, cutoff=0.5)
    if is_read_as_commit:
        hint = "it has a tag of that name, but so many hexadecimal digits are always a commit: give the tag another name"
    elif near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        newest = sorted(names, key=_order_names)
        hint = f"it has {', '.join(newest[:10])}{', ...' if len(names) > 10 else ''}"
    else:
        hint = "it has no branch and no tag"
    return UnknownRefError(
        f"the repository has no branch, tag or commit '{ref}'", where=redact(url), hint=hint
    )
