"""Bounds of records: how much of a job's journal becomes rows. A job may say the same a million times: its journal holds all of it, as
output does, and what people look at stays small. That something was left out is said once, as a warning of the job.
"""

import logging
from collections.abc import Sequence

from agent.journal.format import (
    Annotation,
    AppChanged,
    Closed,
    FormAsked,
    Log,
    Opened,
    Record,
    StepChanged,
    Summary,
)
from agent.journal.samples import JobSample
from agent.server.store import records
from agent.server.store.database import Connection

log = logging.getLogger("agent.server")

MOST_ANNOTATIONS = 1000
MOST_STEPS = 10_000
MOST_SUMMARY_CHARACTERS = 8 << 20

# The places of the warnings: before all that a journal's records can have.
_ANNOTATIONS, _STEPS, _SUMMARIES = -1, -2, -3


class Bounds:
    """What of one job's lease has come into rows so far, in one transaction."""

    def __init__(self, job: str, lease: int, annotations: int = 0, characters: int = 0) -> None:
        self._job = job
        self._lease = lease
        self._annotations = annotations
        self._characters = characters

    async def has_room(self, connection: Connection, record: Record) -> bool:
        """Whether `record` may become a row; where not, that is said, once."""
        match record:
            case StepChanged() if _is_step_too_many(record.step):
                await self._say(connection, _STEPS, f"a job shows its first {MOST_STEPS} steps")
            case Annotation() if self._annotations >= MOST_ANNOTATIONS:
                await self._say(
                    connection, _ANNOTATIONS, f"a job shows its first {MOST_ANNOTATIONS} annotations"
                )
            case Summary() if self._characters + len(record.text) > MOST_SUMMARY_CHARACTERS:
                await self._say(
                    connection,
                    _SUMMARIES,
                    f"a job's summary has {MOST_SUMMARY_CHARACTERS} characters at most",
                )
            case Annotation():
                self._annotations += 1
                return True
            case Summary():
                self._characters += len(record.text)
                return True
            case Opened() | StepChanged() | Log() | AppChanged() | FormAsked() | JobSample() | Closed():
                return True
        return False

    async def _say(self, connection: Connection, place: int, rule: str) -> None:
        warning = Annotation(0, "warning", f"{rule}; the others are in its log only", title="Too much")
        if await records.put_annotation(connection, self._job, self._lease, place, warning):
            log.warning("job %s: %s, and this one has more", self._job, rule)


def _is_step_too_many(step: int) -> bool:
    """A number that no column can hold is damage, and found out where it is stored."""
    return not 0 <= step < MOST_STEPS and abs(step) < 1 << 63


async def read_bounds(connection: Connection, job: str, lease: int, found: Sequence[Record]) -> Bounds:
    """The bounds for `found`, the next records of a journal."""
    if not any(isinstance(record, Annotation | Summary) for record in found):
        return Bounds(job, lease)
    return Bounds(job, lease, *await records.measure(connection, job, lease))
