"""One shard as a lane of the trigger: read, handed on, settled, and its bookmark.

reading --asked to stop--> stopping --all settled--> given back
reading --end of the shard--> ended --all settled--> given back, marked as ended
reading, stopping --bookmark lost--> gone
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.job.stages.actions.connecting.bodies import read_body, show_raw
from agent.job.stages.actions.connecting.handing import Come, hand_on
from agent.job.stages.actions.connecting.holding import HeldBookmark
from agent.job.stages.actions.kinesis.reading import ShardReader, Start, StreamRecord, TellClosed
from agent.job.stages.stage import Intake, StageError, StreamPosition

_AGGREGATED = (
    b"\xf3\x89\x9a\xc2"  # how a record of the Kinesis Producer Library begins that has several in it
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a trigger's shards are read."""

    reader: ShardReader
    closed: TellClosed
    form: str
    most_bytes: int


@dataclass(eq=False)
class ShardLane:
    """A shard that this copy holds. Numbers are sequence numbers; empty: none yet."""

    shard: str
    held: HeldBookmark
    incarnation: str  # which stream of that name it belongs to
    start: Start
    handed: str = ""  # the last number that was handed on
    settled: str = ""
    has_ended: bool = False
    is_stopping: bool = False
    task: asyncio.Task[None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_settled(self) -> bool:
        """Whether nothing of it is on its way."""
        return not self.handed or (bool(self.settled) and int(self.settled) >= int(self.handed))

    async def read(self, intake: Intake, how: Reading) -> None:
        """Read on, until the shard has ended, or it is to stop."""
        async for page in how.reader(self.shard, self.start, how.closed):
            if page.records:
                self.handed = page.records[-1].number
                await hand_on(intake, self._decode(page.records, how))
                # Where a trigger that is started again goes on: not before all of the page is handed on.
                self.start = Start(after=self.handed)
            if page.has_ended:
                self.has_ended = True
                self.note()
                return
            if self.is_stopping:
                return

    def settle(self, number: str) -> None:
        """All up to a number has ended."""
        if not self.settled or int(number) > int(self.settled):
            self.settled = number
        self.note()

    def note(self) -> None:
        """What its bookmark should say."""
        if self.has_ended and self.is_settled:
            self.held.value = {"of": self.incarnation, "ended": True}
        elif self.settled:
            self.held.value = {"of": self.incarnation, "after": self.settled}

    def _decode(self, records: Sequence[StreamRecord], how: Reading) -> list[Come]:
        come = []
        for number, data in records:
            position = StreamPosition(self.shard, number)
            try:
                _refuse_aggregated(data)
                come.append(Come(read_body(data, how.form, how.most_bytes), position))
            except StageError as error:
                come.append(Come(show_raw(data), position, error))
        return come


def _refuse_aggregated(data: bytes) -> None:
    if data.startswith(_AGGREGATED):
        raise StageError(
            "the record was aggregated by the Kinesis Producer Library, which is not supported here; "
            "set its AggregationEnabled to false",
            is_final=True,
        )
