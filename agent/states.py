"""State machines as tables: where a thing begins, and what may follow what. Pure.

A module that owns states opens with their picture; the table under it is the picture (a test compares the two). Who
stores a state asks the table: an UPDATE that is one of many tries names `sources(new)` in its WHERE, so that what the
table does not have changes no row, and who knows the old state calls `check(old, new)`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


class ImpossibleTransitionError(RuntimeError):
    """Something was to become what it can't: a bug of ours, noticed before anything was changed."""


@dataclass(frozen=True, slots=True)
class Transitions(Generic[State]):
    """What may follow what in the life of a `what` (a noun for sentences). A state that nothing follows is an end."""

    what: str
    starts: frozenset[State]
    following: Mapping[State, frozenset[State]]

    @classmethod
    def of_events(
        cls, what: str, starts: frozenset[State], table: Mapping[tuple[State, Event], State]
    ) -> "Transitions[State]":
        """The same of a table whose arrows have names: (state, event) -> state."""
        (kind,) = {type(state) for state, _ in table}
        return cls(
            what,
            starts,
            {state: frozenset(new for (old, _), new in table.items() if old is state) for state in kind},
        )

    def may_become(self, old: State, new: State) -> bool:
        """Whether `new` may follow on `old`."""
        return new in self.following[old]

    def check(self, old: State, new: State) -> None:
        """Raises ImpossibleTransitionError unless `new` may follow on `old`."""
        if not self.may_become(old, new):
            raise ImpossibleTransitionError(f"a {self.what} that is {old} can't become {new}")

    def sources(self, new: State) -> tuple[State, ...]:
        """The states that `new` may follow on, in their order: for an UPDATE's WHERE."""
        return tuple(old for old in self.following if new in self.following[old])

    @property
    def ends(self) -> frozenset[State]:
        """The states out of which nothing leads but to themselves."""
        return frozenset(state for state, following in self.following.items() if following <= {state})
