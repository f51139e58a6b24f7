"""Logs that are watched while they grow: read and written once for all who have seen the rest.

    alone     a viewer reads the journal from where they are to its end
    together  from there on one reader for all of them: each takes what is new from the last mebibyte that it wrote
    alone     again: who is so slow that what comes next for them is gone from there, and all when the reader has ended

So fifty viewers cost the reading, the conversion and the writing of one, and a slow one costs their own reading alone.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from agent.errors import AgentError
from agent.journal.format import Closed, Log, Record
from agent.journal.public import PublicRecord, PublicRecords
from agent.server.data.job_logs import JobLogs
from agent.server.events.frames import END, HEARTBEAT, HEARTBEAT_SECONDS, event_bytes, text_events
from agent.server.events.live import Bus, job_topic
from agent.server.runs.job_reading import JobJournal

_MOST_BYTES: Final = 1 << 20  # written and kept for who is a little behind, of one log
_PACE_SECONDS: Final = (
    0.02  # between two looks at a journal that grows: what comes meanwhile is written together
)
_AT_ONCE_BYTES: Final = 1 << 17  # written before others have their turn: some milliseconds

FindJournal = Callable[[str], Awaitable[JobJournal]]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What one journal record, up to the offset `end`, is to viewers."""

    end: int
    data: bytes


class LiveLogs:
    """The logs of this process's viewers."""

    def __init__(self, logs: JobLogs, bus: Bus) -> None:
        self._logs = logs
        self._bus = bus
        self._shared: dict[tuple[str, int], _SharedLog] = {}

    async def follow(self, find: FindJournal, job: str, after: int) -> AsyncIterator[bytes]:
        """The events behind the offset `after`, as they come, to the job's end or the server's; `find` says where it stands.

        Raises AgentError when the store can't be read: the stream breaks off, and its viewer comes back.
        """
        lease: int | None = None
        while not self._bus.is_closing:
            of = await find(job)
            if lease not in (None, of.lease):
                after = 0
            lease = of.lease
            alone = _LoneReader(self._logs, of, after)
            async for data in alone.read():
                yield data
            after = max(after, alone.offset)
            of = await find(job)
            if of.lease != lease:
                continue
            if of.closing is not None:
                async for data in alone.read():  # it may have come to its end between the two looks
                    yield data
                yield _end_of(alone.public, None if alone.is_closed else of.closing, alone.offset)
                return
            with self._together(find, of, alone) as shared:
                async for data in shared.read(after):
                    yield data
                after = max(after, shared.left_at)
            if shared.is_ended:
                return

    @contextmanager
    def _together(self, find: FindJournal, of: JobJournal, alone: "_LoneReader") -> "Iterator[_SharedViewer]":
        key = (of.job, of.lease)
        shared = self._shared.get(key)
        if shared is None or shared.is_over:
            shared = self._shared[key] = _SharedLog(self._logs, self._bus, find, of, alone)
        shared.viewers += 1
        try:
            yield _SharedViewer(shared)
        finally:
            shared.viewers -= 1
            if not shared.viewers:
                shared.stop()
                if self._shared.get(key) is shared:
                    del self._shared[key]


class _LoneReader:
    """One viewer's own reading, from where the lines begin that end behind `after`."""

    def __init__(self, logs: JobLogs, of: JobJournal, after: int) -> None:
        self._logs = logs
        self._of = of
        self._after = after
        self._has_begun = False
        self.offset = 0
        self.public = PublicRecords(of.key)
        self.is_closed = False

    async def read(self) -> AsyncIterator[bytes]:
        """What is new up to the journal's end."""
        job, lease = self._of.job, self._of.lease
        if not self._has_begun:
            start = await self._logs.resume(job, lease, self._after)
            self.public, self.offset = PublicRecords(self._of.key, start.step_ids), start.offset
            self._has_begun = True
        async for found in self._logs.read(job, lease, self.offset):
            for end, record in found:
                data = _events_of(self.public, record, end)
                self.offset, self.is_closed = end, isinstance(record, Closed)
                if data and end > self._after:
                    yield data


class _SharedLog:
    """One reader for all viewers of one lease's journal. Over: its job, its lease or its last viewer has gone."""

    def __init__(
        self, logs: JobLogs, bus: Bus, find: FindJournal, of: JobJournal, begun: _LoneReader
    ) -> None:
        self.viewers = 0
        self.is_over = False
        self.last_word: bytes | None = None
        self.moved = b""  # what stands on lines that have not ended, and the newest sample, for who has seen all the rest
        self.moves = 0
        self.start = self.end = begun.offset
        self.news = asyncio.Event()
        self._pieces: deque[_Piece] = deque()
        self._bytes = 0
        self._public = begun.public
        self._is_closed = begun.is_closed
        self._logs, self._bus, self._find, self._of = logs, bus, find, of
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """Nobody looks any more."""
        self._task.cancel()

    def since(self, offset: int) -> tuple[int, bytes] | None:
        """What comes behind `offset`, and up to where; None when that is not here any more."""
        if offset < self.start:
            return None
        taken = []
        for piece in reversed(self._pieces):
            if piece.end <= offset:
                break
            taken.append(piece.data)
        return max(offset, self.end), b"".join(reversed(taken))

    async def _run(self) -> None:
        try:
            with (
                suppress(AgentError),
                self._bus.listen(job_topic(self._of.job)) as listener,
            ):  # a viewer's own reading says it
                while not self._bus.is_closing:
                    now = await self._find(self._of.job)
                    if now.lease != self._of.lease:
                        return
                    before = self.end
                    await self._read()
                    if self.end > before:
                        await asyncio.sleep(_PACE_SECONDS)
                    elif now.closing is not None:
                        missing = None if self._is_closed else now.closing
                        self.last_word = _end_of(self._public, missing, self.end)
                        return
                    else:
                        await listener.wait(HEARTBEAT_SECONDS)
        finally:
            self.is_over = True
            self._tell()

    async def _read(self) -> None:
        written = 0
        async for found in self._logs.read(self._of.job, self._of.lease, self.end):
            for end, record in found:
                piece = _Piece(end, _events_of(self._public, record, end))
                self._add(piece)
                self._is_closed = isinstance(record, Closed)
                written += len(piece.data)
                if written > _AT_ONCE_BYTES:
                    written = 0
                    self._tell()
                    await asyncio.sleep(0)
            self._tell()
        moved = b"".join(event_bytes(line["kind"], line, None) for line in self._public.progress())
        if moved or self.moved:
            self.moved, self.moves = moved, self.moves + 1
            self._tell()

    def _add(self, piece: _Piece) -> None:
        self._pieces.append(piece)
        self._bytes += len(piece.data)
        self.end = piece.end
        while self._bytes > _MOST_BYTES and len(self._pieces) > 1:
            gone = self._pieces.popleft()
            self._bytes -= len(gone.data)
            self.start = gone.end

    def _tell(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()


class _SharedViewer:
    """One of the viewers of a shared log."""

    def __init__(self, shared: _SharedLog) -> None:
        self._shared = shared
        self.left_at = 0
        self.is_ended = False

    async def read(self, offset: int) -> AsyncIterator[bytes]:
        """What comes behind `offset`, until the log's end, its reader's end, or until this viewer is left behind."""
        shared, moves = self._shared, 0
        while True:
            news, self.left_at = shared.news, offset
            found = shared.since(offset)
            if found is None:
                return
            offset, data = found
            if data:
                yield data
                continue
            self.left_at = offset
            if shared.is_over:
                if shared.last_word is not None:
                    self.is_ended = True
                    yield shared.last_word
                return
            if shared.moves != moves and offset == shared.end:
                moves = shared.moves
                if shared.moved:
                    yield shared.moved
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await news.wait()
            except TimeoutError:
                yield HEARTBEAT


def _events_of(public: PublicRecords, record: Record, end: int) -> bytes:
    """The events that one journal record gives; only the last has the id, so that none is skipped at a resume."""
    if isinstance(record, Log):
        lines = public.feed(record)
        return text_events("log", public.head(record), lines, end) if lines else b""
    written: list[bytes] = []
    last: PublicRecord | None = None
    for event in public.convert(record):
        if last is not None:
            written.append(event_bytes(last["kind"], last, None))
        last = event
    if last is not None:
        written.append(event_bytes(last["kind"], last, end))
    return b"".join(written)


def _end_of(public: PublicRecords, missing: Closed | None, offset: int) -> bytes:
    """The end of the stream; before it the last word, when it is `missing` in the journal."""
    last = b"" if missing is None else _events_of(public, missing, offset)
    return last + END
