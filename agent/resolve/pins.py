"""Pins: the commit that a ref is held to, by the reference's *key*, `owner/repo@ref` or `URL@ref`.

A key names a repository at a ref, not a folder in it: `acme/tools/lint@v1` and `acme/tools/test@v1` are one commit,
as they are one `git fetch`. What can only mean one thing has no key: a full commit, a folder of the workspace or of
the line's own repository, an action that ships with this product.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.errors import RefusedError
from agent.resolve.reference import (
    ImageReference,
    Reference,
    RepositoryReference,
    SelfReference,
    UrlReference,
    WorkspaceReference,
    parse_reference,
)
from agent.resolve.sources.bundled import find_bundled
from agent.resolve.sources.git import is_commit

IMAGE_PREFIX = "docker://"


@dataclass(frozen=True, slots=True)
class PinnedRef:
    """What to ask a repository for: a ref, or the commit that it is held to; and what there is to say about it."""

    ref: str
    warnings: tuple[str, ...] = ()


class Pins:
    """The pins of one job, which warn once a key. `commits` is None where the run has no lock file: then refs mean what they are now."""

    def __init__(self, commits: Mapping[str, str] | None = None, *, warns: bool = True) -> None:
        self._commits = commits
        self._warns = warns
        self._warned: set[str] = set()

    def settle(self, reference: RepositoryReference | UrlReference) -> PinnedRef:
        """The ref of `reference`, or its pin. Raises RefusedError for a pin that is no commit."""
        key = pin_key(reference)
        if not key or self._commits is None:
            return PinnedRef(reference.ref)
        commit = self._commits.get(key)
        if commit is None and (key in self._warned or not self._warns):
            return PinnedRef(reference.ref)
        if commit is None:
            self._warned.add(key)
            warning = f"'{key}' is not in flow.lock: what '{reference.ref}' is now is used (`agent action lock` pins it)"
            return PinnedRef(reference.ref, (warning,))
        if not is_commit(commit):
            raise RefusedError(f"the pin {commit[:80]!a} is not a commit", where=key)
        return PinnedRef(commit)

    def holds(self, reference: RepositoryReference | UrlReference) -> bool:
        """Whether `reference` can only mean one thing: it is a commit, or is pinned to one."""
        key = pin_key(reference)
        return not key or key in (self._commits or {})


def pin_key(reference: Reference) -> str:
    """The key of `reference` in a lock; "" when there is nothing to pin."""
    match reference:
        case ImageReference(image):
            return "" if "@sha256:" in image else f"{IMAGE_PREFIX}{image}"
        case RepositoryReference(ref=ref):
            is_fixed = is_commit(ref) or find_bundled(reference) is not None
            return "" if is_fixed else format_key(reference)
        case UrlReference(ref=ref):
            return "" if is_commit(ref) else format_key(reference)
        case WorkspaceReference() | SelfReference():
            return ""


def format_key(reference: RepositoryReference | UrlReference) -> str:
    """The key of a repository at a ref, whether it needs a pin or not."""
    if isinstance(reference, RepositoryReference):
        return f"{reference.owner}/{reference.repository}@{reference.ref}"
    key = f"{reference.url}@{reference.ref}"
    if parse_reference(key) == UrlReference(reference.url, "", reference.ref):
        return key
    return f"{reference.url}//@{reference.ref}"  # the URL's end could not be seen otherwise (docs/actions.md)
