"""The concurrency groups of a local run: its own jobs are the only members there are."""

from collections.abc import Iterator

from agent.plan import Event, GroupEntered, GroupLost, Place
from agent.plan.concurrency import Group, Verdicts, join, leave


class LocalGroups:
    """Groups by name; the case of names does not matter. Members are keys of jobs, and "" for the run."""

    def __init__(self) -> None:
        self._groups: dict[str, Group[str]] = {}

    def join(self, member: str, place: Place) -> list[Event]:
        """What follows from the member's wish for the place."""
        group, verdicts = join(
            self._groups.get(place.group.casefold(), Group()),
            member,
            cancel_in_progress=place.cancel_in_progress,
            queue=place.queue,
        )
        self._groups[place.group.casefold()] = group
        return list(_events(place.group, verdicts))

    def leave(self, member: str, name: str) -> list[Event]:
        """What follows from the member's leaving."""
        group, verdicts = leave(self._groups.get(name.casefold(), Group()), member)
        self._groups[name.casefold()] = group
        return list(_events(name, verdicts))


def _events(name: str, verdicts: Verdicts[str]) -> Iterator[Event]:
    for member, reason in verdicts.lost:
        yield GroupLost(member, name, reason)
    for member in verdicts.entered:
        yield GroupEntered(member, name)
