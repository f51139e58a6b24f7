"""Logs that are watched while they grow: each viewer sees all of it, and many cost the reading of one."""

import asyncio
import json
import random
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.journal.format import Closed, Log, Record, StepChanged
from agent.journal.public import PublicRecords
from agent.server.data import live_logs
from agent.server.data.job_logs import Resumption
from agent.server.data.live_logs import LiveLogs
from agent.server.events.frames import END, event_bytes, text_events
from agent.server.events.live import Bus, job_topic
from agent.server.runs.job_reading import JobJournal
from agent.spec.outcome import Conclusion, JobResult

JOB = "job_1"
STEP = StepChanged(0, "fit", "Fit", "running", 1)


class GrowingLog:
    """A journal in memory, in the place of those on the disk; `reads` counts the records that were handed out."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.lease = 1
        self.closing: Closed | None = None
        self.records: list[tuple[int, Record]] = []
        self.reads = 0

    def append(self, *records: Record) -> None:
        for record in records:
            self.records.append((len(self.records) * 10 + 10, record))
        self.bus.wake(job_topic(JOB))

    def close(self) -> None:
        self.closing = Closed(5, JobResult(Conclusion.SUCCESS))
        self.append(self.closing)

    async def find(self, job: str) -> JobJournal:
        await asyncio.sleep(0)
        return JobJournal(job, "train", self.lease, self.closing)

    async def read(self, _job: str, lease: int, offset: int) -> AsyncIterator[list[tuple[int, Record]]]:
        await asyncio.sleep(0)
        while lease == self.lease and (found := [each for each in self.records if each[0] > offset][:7]):
            self.reads += len(found)
            yield found
            offset = found[-1][0]

    async def resume(self, _job: str, _lease: int, _offset: int) -> Resumption:
        return Resumption()


def lines(first: int, count: int) -> Log:
    return Log(0, 1000, b"".join(b"line %d\n" % number for number in range(first, first + count)))


def logged(data: bytes) -> list[str]:
    """The lines that a viewer was sent, in order."""
    events = [part for part in data.split(b"\n\n") if b"event: log" in part]
    return [json.loads(part.partition(b"data: ")[2])["text"] for part in events]


async def view(live: LiveLogs, log: GrowingLog, seen: bytearray, after: int = 0, pause: float = 0.0) -> None:
    async for data in live.follow(log.find, JOB, after):
        seen += data
        if pause:
            await asyncio.sleep(pause)


async def until(claim: object, what: str) -> None:
    async with asyncio.timeout(60):
        while not claim():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_fifty_viewers_cost_the_reading_of_one() -> None:
    bus = Bus()
    log = GrowingLog(bus)
    live = LiveLogs(log, bus)  # type: ignore[arg-type]
    log.append(STEP)
    seen = [bytearray() for _ in range(50)]
    async with asyncio.TaskGroup() as group:
        for one in seen:
            group.create_task(view(live, log, one))
        await until(lambda: all(b"event: step" in one for one in seen), "all to have come")
        before = log.reads
        for number in range(100):
            log.append(lines(number * 10, 10))
        await until(lambda: all(len(logged(bytes(one))) == 1000 for one in seen), "all lines")
        assert log.reads - before < 200
        log.close()
    wanted = [f"line {number}" for number in range(1000)]
    for one in seen:
        assert logged(bytes(one)) == wanted
        assert one.endswith(END)
        assert one.count(b"event: job") == 1


async def test_a_viewer_who_is_left_behind_misses_nothing_and_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_logs, "_MOST_BYTES", 2000)
    bus = Bus()
    log = GrowingLog(bus)
    live = LiveLogs(log, bus)  # type: ignore[arg-type]
    slow, quick = bytearray(), bytearray()
    log.append(STEP)
    async with asyncio.TaskGroup() as group:
        group.create_task(view(live, log, slow, pause=0.2))
        group.create_task(view(live, log, quick))
        await until(lambda: slow and quick, "both to have come")
        for number in range(50):
            log.append(lines(number * 10, 10))
            await asyncio.sleep(0.01)
        await until(lambda: len(logged(bytes(quick))) == 500, "the quick one to have all")
        assert len(logged(bytes(slow))) < 500
        log.close()
    assert logged(bytes(slow)) == logged(bytes(quick)) == [f"line {number}" for number in range(500)]


@pytest.mark.parametrize("seed", range(40))
async def test_whenever_viewers_come_and_however_slow_they_are_each_sees_what_one_alone_would(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(live_logs, "_MOST_BYTES", chance.choice([1, 300, 3000, 1 << 20]))
    monkeypatch.setattr(live_logs, "_PACE_SECONDS", chance.choice([0, 0.002]))
    bus = Bus()
    log = GrowingLog(bus)
    live = LiveLogs(log, bus)  # type: ignore[arg-type]
    views: list[tuple[int, bytearray]] = []
    number = 0
    async with asyncio.TaskGroup() as group:
        log.append(STEP)
        for _ in range(40):
            match chance.randrange(4):
                case 0:
                    after = chance.choice([0, *(end for end, _ in log.records)])
                    views.append((after, bytearray()))
                    pause = chance.choice([0, 0, 0.001, 0.01])
                    group.create_task(view(live, log, views[-1][1], after, pause))
                case 1 | 2:
                    count = chance.randrange(1, 30)
                    log.append(lines(number, count), Log(0, 1000, b"half a line "))
                    number += count
                case _:
                    await asyncio.sleep(chance.choice([0, 0.001, 0.005]))
        log.close()
    public, alone = PublicRecords("train"), {}
    for end, record in log.records:
        alone[end] = [event["text"] for event in public.convert(record) if event["kind"] == "log"]
    for after, seen in views:
        assert logged(bytes(seen)) == [line for end, told in alone.items() if end > after for line in told]
        assert seen.endswith(END)


async def test_a_new_attempt_is_seen_from_its_beginning() -> None:
    bus = Bus()
    log = GrowingLog(bus)
    live = LiveLogs(log, bus)  # type: ignore[arg-type]
    seen = bytearray()
    async with asyncio.TaskGroup() as group:
        group.create_task(view(live, log, seen))
        log.append(STEP, lines(0, 3))
        await until(lambda: len(logged(bytes(seen))) == 3, "the first attempt")
        log.lease, log.records = 2, []
        log.append(STEP, lines(100, 2))
        await until(lambda: len(logged(bytes(seen))) == 5, "the second attempt")
        log.close()
    assert logged(bytes(seen))[3:] == ["line 100", "line 101"]


async def test_nobody_reads_when_the_last_viewer_has_gone() -> None:
    bus = Bus()
    log = GrowingLog(bus)
    live = LiveLogs(log, bus)  # type: ignore[arg-type]
    seen = bytearray()
    log.append(STEP)
    viewer = asyncio.create_task(view(live, log, seen))
    await until(lambda: seen, "the viewer")
    viewer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await viewer
    await until(lambda: not live._shared and job_topic(JOB) not in bus._listeners, "its reader to go too")
    before = log.reads
    log.append(lines(0, 5))
    await asyncio.sleep(0)
    assert log.reads == before


OUTPUT = st.one_of(
    st.binary(max_size=9).map(lambda data: data.replace(b"\n", b"")),
    st.text(alphabet='",\\\\{}[]: é\u2028\x85\x1e', max_size=6).map(str.encode),
    st.sampled_from([b",", b'"a",', b'","', b"event: x", b"id: 3", b"\\xe2\\x82"]),
)


@given(texts=st.lists(OUTPUT, min_size=1, max_size=5))
@settings(max_examples=500)
def test_many_lines_at_once_are_written_as_one_by_one(texts: list[bytes]) -> None:
    head: dict[str, object] = {"kind": "log", "job": 'a","b', "time": 1.5}
    events = [{**head, "text": each.decode("utf-8", "replace")} for each in texts]
    ids = [*[None] * (len(texts) - 1), 7]
    one_by_one = b"".join(
        event_bytes("log", event, number) for event, number in zip(events, ids, strict=True)
    )
    assert text_events("log", head, texts, 7) == one_by_one
    assert one_by_one.isascii(), "some clients end lines at U+2028 and its like"
