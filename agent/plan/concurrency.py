"""The rule of a concurrency group: one member is in it, the others wait. Pure; drivers keep the groups and tell members.

    join    nobody is in         -> entered
            somebody is in       -> waits; `queue: single` sends away whoever waits, `max` waits behind up to 99 others;
                                    `cancel_in_progress` also asks who is in to end, which keeps its place until it has
    leave   who was in           -> the first that waits has entered
            who waited           -> is gone

Whoever joins twice or leaves twice changes nothing. Source: GitHub's documentation, *Control the concurrency of workflows
and jobs*.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_WAITING = 100

M = TypeVar("M", bound=Hashable)


@dataclass(frozen=True)
class ConcurrencyGroup(Generic[M]):
    """Who is in the group, and who waits, oldest first. Members are whatever the driver names them by."""

    inside: M | None = None
    waiting: tuple[M, ...] = ()


@dataclass(frozen=True)
class Verdicts(Generic[M]):
    """What members are to be told: who has entered, and who shall end, with the reason."""

    entered: tuple[M, ...] = ()
    lost: tuple[tuple[M, str], ...] = ()


def join(
    group: ConcurrencyGroup[M], member: M, *, cancel_in_progress: bool, queue: str
) -> tuple[ConcurrencyGroup[M], Verdicts[M]]:
    """The group after `member` asked for a place."""
    if member == group.inside or member in group.waiting:
        return group, Verdicts()
    if group.inside is None:
        return ConcurrencyGroup(member, group.waiting), Verdicts((member,))
    lost: list[tuple[M, str]] = []
    waiting = group.waiting
    if queue != "max":
        lost += [(other, "a newer one waits in its place in the concurrency group") for other in waiting]
        waiting = ()
    elif len(waiting) >= MAX_WAITING:
        return group, Verdicts(lost=((member, f"{MAX_WAITING} others wait for the concurrency group"),))
    if cancel_in_progress:
        lost.append((group.inside, "a newer one of its concurrency group cancels what is in progress"))
    return ConcurrencyGroup(group.inside, (*waiting, member)), Verdicts(lost=tuple(lost))


def leave(group: ConcurrencyGroup[M], member: M) -> tuple[ConcurrencyGroup[M], Verdicts[M]]:
    """The group after `member` gave up its place, or its wish for one."""
    if member != group.inside:
        return ConcurrencyGroup(
            group.inside, tuple(other for other in group.waiting if other != member)
        ), Verdicts()
    if not group.waiting:
        return ConcurrencyGroup(), Verdicts()
    first, *rest = group.waiting
    return ConcurrencyGroup(first, tuple(rest)), Verdicts((first,))


@dataclass(frozen=True, slots=True)
class Waiter:
    """A member of some group as the search for deadlocks sees it; a run's own member has the key ""."""

    id: int  # who came later has the larger
    group: str
    run: int
    key: str
    is_inside: bool


def find_deadlocked(members: Sequence[Waiter]) -> int | None:
    """The newest member that waits, through others, for its own end; None when there is no such circle.

    Who waits does so for whoever is in its group. Who is inside stays until all that it is made of has ended: a run waits
    for each of its jobs, a calling job for each job of the flow that it calls.
    """
    inside = {member.group: member for member in members if member.is_inside}
    waiting = [member for member in members if not member.is_inside]

    def awaited(member: Waiter) -> list[Waiter]:
        owner = inside.get(member.group)
        return [] if owner is None else [other for other in waiting if _is_part(other, owner)]

    for member in sorted(waiting, key=lambda waiter: -waiter.id):
        seen: set[int] = set()
        open_members = awaited(member)
        while open_members:
            other = open_members.pop()
            if other.id == member.id:
                return member.id
            if other.id not in seen:
                seen.add(other.id)
                open_members += awaited(other)
    return None


def _is_part(member: Waiter, owner: Waiter) -> bool:
    if member.run != owner.run:
        return False
    return owner.key in ("", member.key) or member.key.startswith(f"{owner.key} / ")
