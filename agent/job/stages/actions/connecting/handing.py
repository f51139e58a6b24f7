"""Handing on what came in: records in batches, what is no record as a dead letter, all of it in order."""

from collections.abc import Sequence
from typing import NamedTuple

from agent.job.stages.stage import Intake, StageError, StreamPosition, Value

MOST_RECORDS = 1000  # of a batch at most
_BATCH_RECORDS = (
    100  # that settle together: while the last of them is on its way, a crash brings all of them again
)


class Come(NamedTuple):
    """A record that came in, or, with an error, what is none; `position` is where it ends."""

    value: Value
    position: StreamPosition
    error: StageError | None = None


async def hand_on(intake: Intake, come: Sequence[Come]) -> None:
    """Hand on all of it in its order. Waits while the flow has no room."""
    batch: list[Value] = []
    for place, one in enumerate(come):
        if one.error is not None:
            intake.fail(one.value, one.position, one.error)
            continue
        batch.append(one.value)
        after = come[place + 1] if place + 1 < len(come) else None
        if after is None or after.error is not None or len(batch) == _BATCH_RECORDS:
            await intake.emit(batch, one.position)
            batch = []
