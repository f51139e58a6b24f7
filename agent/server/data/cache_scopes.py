"""Cache scopes: those of a job's git ref, and, to read only, of the branches that it comes from. Pure.

A cache that a branch has written is seen by that branch, and, when it is a default branch, by all. So what a pull
request writes is never restored by the branch that it goes to: not even when the flow itself runs on that branch
(`pull_request_target`), or when the run is not trusted (CVE-2026-45321: an untrusted entry that main restored). And what
a run on no branch writes is seen by nobody else's runs: a person's own (`user/NAME`), a stored flow's (`flow/NAME`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.server.store.run_branches import RunBranch

_TARGET = "pull_request_target"


@dataclass(frozen=True, slots=True)
class Scopes:
    """The scope that is written (None: none may be), and all that are read, in this order."""

    write: str | None
    read: tuple[str, ...]


def scopes_of(branch: RunBranch | None, trunks: Sequence[str], *, otherwise: str | None) -> Scopes:
    """The scopes of a run on `branch`, in a project whose repositories have `trunks` as default branches.

    `otherwise` is the scope of a run that is on no branch; None: it writes nothing.
    """
    own = otherwise if branch is None else branch.scope or None
    base = "" if branch is None else branch.base
    return Scopes(own, tuple(dict.fromkeys(scope for scope in (own, base, *trunks) if scope)))


def choose_scope(event: str, ref: str, pull: int | None, *, is_trusted: bool) -> str:
    """Where a run that `event` has started on `ref` writes; `pull` is the number of the request to merge. "": nowhere."""
    is_foreign = not is_trusted or event == _TARGET
    if not is_foreign or ref.startswith("refs/pull/"):
        return ref
    return "" if pull is None else f"refs/pull/{pull}/merge"
