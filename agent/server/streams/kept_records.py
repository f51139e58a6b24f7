"""Records that are kept: the last ones of a flow, those that failed, and dead letters. A segment a request, in a blob, with a row.

| kind | how many |
| --- | --- |
| samples | the last `MOST_SAMPLES` of a flow |
| that failed, and were done in the end or not | the last, up to `MOST_FAILED_BYTES` of a flow |
| dead letters | all, until they are `keep_records_days` old; when the project has no room for more (`max_dead_letter_bytes`) the job is told to come back, and holds what it has not settled |
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec

from agent.errors import NotFoundError
from agent.ids import ENTROPY_BYTES, make_id
from agent.server.data.blobs.store import BlobStore
from agent.server.events.changes import Changes
from agent.server.process.paging import Page, next_cursor
from agent.server.process.problems import MalformedError, TooManyError
from agent.server.store import projects, record_segments
from agent.server.store.record_segments import SegmentRow
from agent.server.store.states import SegmentKind
from agent.server.streams.stage_jobs import StageJob

MOST_BYTES = 2 << 20  # of a request: one record alone may be over the megabyte that clients gather
MOST_SAMPLES = 1000
MOST_FAILED_BYTES = 64 << 20
_RETRY_SECONDS = 30
_SEGMENTS_AT_ONCE = 20  # that a search reads; it goes on behind its cursor
_FAILED = frozenset({"failed", "dead"})
_ENDLESS = 1e18


class StagePassage(msgspec.Struct):
    """A record at a stage."""

    name: str
    state: str
    began: float
    seconds: float
    attempts: int
    error: str


class KeptRecordView(msgspec.Struct):
    """A record: what brought it (`trigger`, `lane`, `at`), when it came in (seconds since the epoch), how it went, and itself."""

    key: str
    trigger: str
    lane: str
    at: Any
    state: str
    began: float
    seconds: float
    stages: list[StagePassage]
    record: Any
    error: str


class RecordQuery(Page):
    """Which records. `key`: how it begins; `stage`: one that it was at; `since`, `until`: when it came in, in seconds since the epoch."""

    key: Annotated[str, msgspec.Meta(max_length=500)] = ""
    stage: Annotated[str, msgspec.Meta(max_length=500)] = ""
    state: Annotated[str, msgspec.Meta(max_length=100)] = ""
    since: float = 0.0
    until: float = _ENDLESS
    dead: bool = False  # dead letters alone


@dataclass(frozen=True, slots=True)
class _Line:
    record: KeptRecordView
    text: bytes
    kind: SegmentKind


class KeptRecords:
    """The kept records of this installation."""

    def __init__(self, changes: Changes, blobs: BlobStore) -> None:
        self._changes = changes
        self._blobs = blobs

    async def keep(self, job: StageJob, body: bytes, *, is_dead: bool) -> None:
        """Keep records, lines of JSON, durably. Raises MalformedError; TooManyError when there is no room for dead letters."""
        lines = [_read_line(text, is_dead=is_dead) for text in body.splitlines() if text.strip()]
        if is_dead:
            await self._check_room(job, len(body))
        for kind in SegmentKind:
            if own := [line for line in lines if line.kind is kind]:
                await self._keep_segment(job, kind, own)

    async def list_of_run(self, run: int, query: RecordQuery) -> tuple[list[KeptRecordView], str | None]:
        """Records of a run, the newest first. A part may be short, or empty, though there are more: it says how to go on."""
        after = query.after(tuple[int, int])
        kinds = {SegmentKind.DEAD} if query.dead else set(SegmentKind)
        async with self._changes.database.read() as connection:
            segments = await record_segments.list_of_run(
                connection,
                run,
                before=None if after is None else after[0],
                kinds=kinds,
                since=query.since,
                until=query.until,
                limit=_SEGMENTS_AT_ONCE + 1,
            )
        found: list[tuple[tuple[int, int], KeptRecordView]] = []
        for segment in segments[:_SEGMENTS_AT_ONCE]:
            last = after[1] if after is not None and after[0] == segment.id else None
            found += await self._search(segment, query, last)
            if len(found) > query.limit:
                break
        else:
            if len(segments) > _SEGMENTS_AT_ONCE and len(found) <= query.limit:
                end = (segments[_SEGMENTS_AT_ONCE - 1].id, 0)
                return [record for _, record in found], next_cursor([0, 0], 1, end)
        shown = found[: query.limit]
        return [record for _, record in shown], next_cursor(
            found, query.limit, shown[-1][0] if shown else (0, 0)
        )

    async def _check_room(self, job: StageJob, size_bytes: int) -> None:
        async with self._changes.database.read() as connection:
            row = await projects.find_project(connection, job.project)
            taken = await record_segments.size_of(connection, job.project, SegmentKind.DEAD)
        most = None if row is None else row.settings.max_dead_letter_bytes
        if most is not None and taken + size_bytes > most:
            raise TooManyError(
                "the project has no room for more dead letters",
                hint="look at what fails; an admin may raise max_dead_letter_bytes, or keep_records_days lets old ones go",
                retry_seconds=_RETRY_SECONDS,
            )

    async def _keep_segment(self, job: StageJob, kind: SegmentKind, lines: Sequence[_Line]) -> None:
        data = b"".join(line.text + b"\n" for line in lines)
        blob = f"records/{job.project}/{make_id('segment', secrets.token_bytes(ENTROPY_BYTES))}"
        await self._blobs.write(blob, _once(data), limit_bytes=2 * MOST_BYTES)
        moments = [line.record.began for line in lines]
        async with self._changes.begin() as change:
            await record_segments.add_segment(
                change.connection,
                project=job.project,
                flow=job.flow,
                run=job.run,
                job=job.id,
                kind=kind,
                blob=blob,
                size_bytes=len(data),
                records=len(lines),
                first_at=min(moments),
                last_at=max(moments),
                kept_at=change.now,
            )
            over = await self._list_over(change.connection, job, kind)
            await record_segments.forget_segments(change.connection, [row.id for row in over])
        for row in over:
            await self._blobs.remove(row.blob)

    async def _list_over(self, connection: Any, job: StageJob, kind: SegmentKind) -> list[SegmentRow]:
        if kind is SegmentKind.DEAD:
            return []
        most = MOST_SAMPLES if kind is SegmentKind.SAMPLE else 1 << 60
        return await record_segments.list_over(
            connection, job.project, job.flow, kind, most=most, most_bytes=MOST_FAILED_BYTES
        )

    async def _search(
        self, segment: SegmentRow, query: RecordQuery, last: int | None
    ) -> list[tuple[tuple[int, int], KeptRecordView]]:
        """What fits of a segment, the last line first; `last`: only lines before that one."""
        try:
            data = b"".join([piece async for piece in self._blobs.read(segment.blob)])
        except NotFoundError:  # it has gone just now
            return []
        lines = data.splitlines()
        found = []
        for number in range(len(lines) - 1 if last is None else last - 1, -1, -1):
            record = msgspec.json.decode(lines[number], type=KeptRecordView)
            if _fits(record, query):
                found.append(((segment.id, number), record))
        return found


def _fits(record: KeptRecordView, query: RecordQuery) -> bool:
    passed = [passage.name for passage in record.stages]
    return (
        record.key.startswith(query.key)
        and (not query.stage or query.stage in passed or query.stage == record.trigger)
        and query.state in ("", record.state)
        and query.since <= record.began <= query.until
    )


def _read_line(text: bytes, *, is_dead: bool) -> _Line:
    try:
        record = msgspec.json.decode(text, type=KeptRecordView)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"a line is no kept record: {error}") from None
    has_failed = record.state in _FAILED or any(passage.error for passage in record.stages)
    kind = SegmentKind.DEAD if is_dead else SegmentKind.FAILED if has_failed else SegmentKind.SAMPLE
    return _Line(record, text, kind)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
