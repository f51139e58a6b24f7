"""Jobs that wait for records. What comes in while one waits is written down as taken by it, and handed over when that is committed:
one commit, where keeping it and taking it would be two.

    waiting --a batch comes in--> drawn --committed--> served
       ^                            |
       '-------- not committed -----'
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from agent.server.store.stream_queues import NewRecord, TakenRecord, TakingTurn

MOST_BYTES = 4 << 20  # in one answer, but for a single record that is larger


@dataclass(eq=False, slots=True)
class WaitingTurn:
    """A request of a job's that waits for records. `served` has them, or none when they could not be committed."""

    holding: TakingTurn
    most: int
    served: asyncio.Future[Sequence[TakenRecord]] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def choose(self, records: Sequence[NewRecord]) -> Sequence[NewRecord]:
        """The first of them that fit into one answer."""
        size_bytes = 0
        for count, record in enumerate(records[: self.most]):
            size_bytes += record.size_bytes
            if count and size_bytes > MOST_BYTES:
                return records[:count]
        return records[: self.most]

    def serve(self, records: Sequence[NewRecord]) -> None:
        """They are committed as its; none of them: it has to look for itself."""
        if not self.served.done():
            self.served.set_result(
                [TakenRecord(one.id, one.form, one.media, one.body, one.received_at) for one in records]
            )


class WaitingTurns:
    """Those of one server process, by queue: who has waited longest is served first."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[WaitingTurn]] = {}

    @contextmanager
    def wait(self, queue: int, holding: TakingTurn, most: int) -> Iterator[WaitingTurn]:
        """Wait for as long as the block runs. One that is drawn by then will be served."""
        waiter = WaitingTurn(holding, most)
        waiting = self._waiting.setdefault(queue, deque())
        waiting.append(waiter)
        try:
            yield waiter
        finally:
            if waiter in waiting:
                waiting.remove(waiter)
                waiter.served.cancel()
            if not waiting and self._waiting.get(queue) is waiting:
                del self._waiting[queue]

    def draw(self, queue: int) -> WaitingTurn | None:
        """Who is served next; whoever draws it sets what it is served."""
        waiting = self._waiting.get(queue)
        return waiting.popleft() if waiting else None
