"""The audit log: one row for each call that changes something, written in the transaction of that change.

The guard of the route table says who calls and what (`auditing`); the first change of state that the call makes takes
the row along (`agent.server.events.changes`), so that there is no change without its row and no row of a change that was
undone. A call that was refused, or that had nothing to change, gets its row afterwards. Whoever changes something may
add what it was (`note`): names, roles, numbers, never a value that is secret.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from agent.server.store import audit
from agent.server.store.database import Connection

Outcome = Literal["done", "refused", "failed"]


@dataclass(slots=True)
class AuditedCall:
    """A row in the making."""

    action: str  # verb and route
    target: str  # the path as it was called
    address: str
    actor: str = ""
    user: int | None = None
    token: str | None = None
    project: int | None = None
    notes: dict[str, object] = field(default_factory=dict)
    is_written: bool = False


_current: ContextVar[AuditedCall | None] = ContextVar("audit_entry", default=None)


@contextmanager
def auditing(entry: AuditedCall) -> Iterator[AuditedCall]:
    """What changes in this block is `entry`'s."""
    before = _current.set(entry)
    try:
        yield entry
    finally:
        _current.reset(before)


def current() -> AuditedCall | None:
    """The entry whose call this is, when it has no row yet."""
    entry = _current.get()
    return None if entry is None or entry.is_written else entry


def note(**facts: object) -> None:
    """Say what is changed, in the row of the call that changes it."""
    entry = _current.get()
    if entry is not None:
        entry.notes.update(facts)


def say_who(name: str, user: int | None, token: str | None = None) -> None:
    """Say who it is that calls."""
    entry = _current.get()
    if entry is not None:
        entry.actor, entry.user, entry.token = name, user, token


def say_where(project: int | None) -> None:
    """Say which project the call is about."""
    entry = _current.get()
    if entry is not None:
        entry.project = project


def hide_target(shown: str) -> str:
    """Say `shown` for what is called; gives what was said before."""
    entry = _current.get()
    if entry is None:
        return ""
    before, entry.target = entry.target, shown
    return before


async def write(connection: Connection, entry: AuditedCall, now: float, outcome: Outcome = "done") -> None:
    """Add the row of `entry`. The caller says `is_written` once the transaction is through."""
    await audit.add_entry(
        connection,
        entry.notes,
        time=now,
        actor=entry.actor,
        user=entry.user,
        token=entry.token,
        address=entry.address,
        action=entry.action,
        target=entry.target,
        project=entry.project,
        outcome=outcome,
    )
