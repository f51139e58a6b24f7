"""The concurrency groups of a local run: its own jobs are the only members there are."""

from collections.abc import Iterator
from itertools import count

from agent.plan import Event, GroupEntered, GroupLost, GroupPlace
from agent.plan.concurrency import ConcurrencyGroup, Verdicts, Waiter, find_deadlocked, join, leave


class LocalGroups:
    """Groups by name; the case of names does not matter. Members are keys of jobs, and "" for the run."""

    def __init__(self) -> None:
        self._groups: dict[str, ConcurrencyGroup[str]] = {}
        self._numbers = count(1)
        self._joined: dict[tuple[str, str], int] = {}  # (group, member) -> the later, the larger

    def join(self, member: str, place: GroupPlace) -> list[Event]:
        """What follows from the member's wish for the place."""
        name = place.group.casefold()
        self._joined.setdefault((name, member), next(self._numbers))
        group, verdicts = join(
            self._groups.get(name, ConcurrencyGroup()),
            member,
            cancel_in_progress=place.cancel_in_progress,
            queue=place.queue,
        )
        self._groups[name] = group
        return [*_events(name, verdicts), *self._break_deadlocks()]

    def leave(self, member: str, name: str) -> list[Event]:
        """What follows from the member's leaving."""
        name = name.casefold()
        self._joined.pop((name, member), None)
        self._groups[name], verdicts = leave(self._groups.get(name, ConcurrencyGroup()), member)
        return [*_events(name, verdicts), *self._break_deadlocks()]

    def _break_deadlocks(self) -> Iterator[Event]:
        """Send away whoever waits for something that waits for it."""
        while True:
            places = {self._joined[name, member]: (name, member) for name, member in self._members()}
            stuck = find_deadlocked(
                [
                    Waiter(number, name, 0, member, is_inside=self._groups[name].inside == member)
                    for number, (name, member) in places.items()
                ]
            )
            if stuck is None:
                return
            name, member = places[stuck]
            self._groups[name], _ = leave(self._groups[name], member)
            yield GroupLost(member, name, f"a deadlock for concurrency group '{name}' was detected")

    def _members(self) -> Iterator[tuple[str, str]]:
        for name, group in self._groups.items():
            for member in (*(() if group.inside is None else (group.inside,)), *group.waiting):
                yield name, member


def _events(name: str, verdicts: Verdicts[str]) -> Iterator[Event]:
    for member, reason in verdicts.lost:
        yield GroupLost(member, name, reason)
    for member in verdicts.entered:
        yield GroupEntered(member, name)
