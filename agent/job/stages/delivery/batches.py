"""Batches of records, which move together."""

from collections.abc import Sequence
from typing import NamedTuple

from agent.job.stages.delivery.settling import Origin
from agent.job.stages.delivery.states import TRANSITIONS, Passage, RecordEvent, RecordState
from agent.job.stages.stage import Value
from agent.states import ImpossibleTransitionError


class Batch:
    """Records that move together. Its list is shared by all that a stage gives it to: nobody changes it."""

    __slots__ = (
        "attempts",
        "began",
        "due",
        "error",
        "failed_whole",
        "origins",
        "path",
        "size_bytes",
        "stage",
        "state",
        "values",
    )

    def __init__(
        self,
        values: Sequence[Value],
        origins: tuple[Origin, ...],
        path: tuple[Passage, ...],
        size_bytes: int,
        stage: str,
        due: float = 0.0,
    ) -> None:
        self.values = values
        self.origins = origins
        self.path = path
        self.size_bytes = size_bytes  # about
        self.stage = stage  # that it is at
        self.state = RecordState.ACCEPTED
        self.attempts = 0  # that failed
        self.due = due  # not before
        self.began = 0.0  # its work
        self.error = ""  # of the last attempt
        self.failed_whole = False  # all of it, of one error: it may be one record's
        for origin in origins:
            origin.open += 1

    def advance(self, event: RecordEvent) -> None:
        """Take the arrow of that name. Raises ImpossibleTransitionError (a bug of ours)."""
        try:
            self.state = TRANSITIONS[self.state, event]
        except KeyError:
            raise ImpossibleTransitionError(f"no {event} for records that are {self.state}") from None

    def part(self, places: Sequence[int] | slice) -> "Batch":
        """Some of its records, as a batch of their own in the same state; this one keeps all."""
        values = self.values
        chosen = values[places] if isinstance(places, slice) else [values[place] for place in places]
        size_bytes = self.size_bytes * len(chosen) // max(1, len(values))
        other = Batch(chosen, self.origins, self.path, size_bytes, self.stage, self.due)
        other.failed_whole = self.failed_whole
        other.state, other.attempts, other.error, other.began = (
            self.state,
            self.attempts,
            self.error,
            self.began,
        )
        return other


class DeadLetter(NamedTuple):
    """A record that could not be done, and why."""

    record: Value
    stage: str
    cause: str
    attempts: int
    trigger: str
    lane: str
    at: object  # the position that it is settled with
    began: float  # when its trigger brought it
    ended: float
    path: tuple[Passage, ...]
