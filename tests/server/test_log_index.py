"""Where a journal's lines are: who comes back sees what a reader from the beginning sees, and reads little for it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.journal.format import Annotation, Closed, Log, Record, StepChanged, encode
from agent.journal.magic import MAGIC
from agent.journal.public import PublicRecord, PublicRecords
from agent.server.data.archive.lines import Cut, Tail, text_of
from agent.server.data.blobs.disk import DiskBlobStore
from agent.server.data.job_logs import JobLogs
from agent.server.data.journals.files import FileJournals
from agent.server.data.log_index import LogIndex, LogIndexes
from agent.server.store.database import open_database
from agent.spec.outcome import Conclusion, JobResult

pytestmark = pytest.mark.anyio
Placed = list[tuple[int, Record]]

STEPS = st.integers(0, 2)
LOGS = st.builds(Log, STEPS, st.just(7), st.binary(max_size=40).map(lambda data: data.replace(b"z", b"\n")))
CHANGES = st.builds(
    lambda step, state: StepChanged(step, f"step-{step}", "A step", state, 7),
    STEPS,
    st.sampled_from(["running", "completed"]),
)
NOTES = st.builds(lambda step: Annotation(step, "notice", "look"), STEPS)
BEGINNINGS = [StepChanged(step, f"step-{step}", "A step", "running", 7) for step in range(3)]
ENDS = st.sampled_from([[], [Closed(9, JobResult(Conclusion.SUCCESS))]])
JOURNALS = st.tuples(st.lists(st.one_of(LOGS, LOGS, CHANGES, NOTES), max_size=60), ENDS).map(
    lambda parts: [*BEGINNINGS, *parts[0], *parts[1]]
)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def place(records: Sequence[Record]) -> Placed:
    """The records with their ends in the journal."""
    found, end = [], len(MAGIC)
    for record in records:
        end += len(encode(record))
        found.append((end, record))
    return found


def events(placed: Placed, after: int, index: LogIndex | None = None) -> list[PublicRecord]:
    """What a viewer sees who has seen all up to `after`."""
    start = 0 if index is None else index.find_start(after)
    public = PublicRecords("train", None if index is None else index.ids)
    return [
        event
        for end, record in placed
        if end > start
        for event in list(public.convert(record))
        if end > after
    ]


def texts(placed: Placed, start: int) -> Iterator[Placed]:
    yield [(end, record) for end, record in placed if end > start]


@settings(max_examples=200, deadline=None)
@given(JOURNALS, st.sampled_from([60, 200]), st.sampled_from([3, 1000]), st.integers(1, 7))
def test_from_any_place_all_is_seen_as_from_the_beginning(
    records: list[Record], part_bytes: int, most_parts: int, at_once: int
) -> None:
    placed = place(records)
    index = LogIndex(part_bytes=part_bytes, most_parts=most_parts)
    for first in range(0, len(placed), at_once):
        begin = placed[first - 1][0] if first else 0
        index.add(begin, placed[first : first + at_once])
        index.add(begin, placed[first : first + at_once])  # what is known changes nothing
    assert len(index.parts) <= most_parts
    for after in {0, *(end for end, _ in placed), 10**18}:
        assert events(placed, after, index) == events(placed, after)
    for step in (None, 0, 1):
        whole = text_of(placed, step)
        for count in (1, 3, 50):
            (found,) = texts(placed, index.find_tail(count, step))
            near, far = Tail(count), Tail(count)
            near.append(text_of(found, step))
            far.append(whole)
            assert near.read() == far.read()
            start, ended = index.find_line(count, step)
            (found,) = texts(placed, start)
            near_cut, far_cut = Cut(count, 2), Cut(count, 2)
            near_cut.skip(ended)
            assert near_cut.take(text_of(found, step)) == far_cut.take(whole)


def test_a_journal_with_too_many_steps_is_read_from_its_beginning() -> None:
    placed = place([Log(step, 7, b"x\n") for step in range(50)])
    index = LogIndex(part_bytes=60, most_steps=10)
    index.add(0, placed)
    assert index.is_given_up
    assert (index.find_start(10**6), index.find_line(40, None), index.find_tail(1, None)) == (0, (0, 0), 0)
    assert (index.parts, index.ids) == ([], {})


def test_what_comes_behind_a_gap_is_not_believed() -> None:
    placed = place([Log(0, 7, b"x\n")] * 10)
    index = LogIndex(part_bytes=60)
    index.add(placed[4][0], placed[5:])
    assert index.end == 0


def test_the_indexes_of_all_journals_have_so_much_room() -> None:
    indexes = LogIndexes(most_weight=100)
    for number in range(1000):
        placed = place([StepChanged(step, "id", "name", "running", 7) for step in range(5)])
        indexes.add(f"job-{number}", 1, 0, placed)
    assert indexes.weight <= 100
    assert indexes.find("job-999", 1).end > 0, "the newest is there"
    assert indexes.find("job-0", 1).end == 0


class CountingJournals(FileJournals):
    """Counts the bytes that are read."""

    bytes_read = 0

    async def read(self, job: str, lease: int, offset: int, limit_bytes: int = 1 << 20) -> bytes:
        data = await super().read(job, lease, offset, limit_bytes)
        self.bytes_read += len(data)
        return data


async def test_the_end_of_a_long_journal_costs_no_more_than_that_of_a_short_one(tmp_path: Path) -> None:
    database = await open_database(tmp_path / "flow.db")
    journals = CountingJournals(tmp_path)
    logs = JobLogs(database, journals, DiskBlobStore(tmp_path / "blobs"), LogIndexes())
    costs: dict[int, list[int]] = {}
    for lease, count in ((1, 200), (2, 4000)):
        records = [Log(0, 7, b"a line of the log that goes on\n" * 100)] * count
        await journals.append("job", lease, 0, MAGIC + b"".join(map(encode, records)))
        end = place(records)[-2][0]
        assert await logs.tail("job", lease, 1)  # knows the journal from here on, as who takes it in does
        costs[lease] = []
        for look in (
            logs.tail("job", lease, 10),
            read_from(logs, lease, end),
            read_line(logs, lease, count * 100),
        ):
            journals.bytes_read = 0
            assert await look
            costs[lease].append(journals.bytes_read)
    await database.close()
    assert all(far <= near + (512 << 10) for near, far in zip(costs[1], costs[2], strict=True)), costs


async def read_from(logs: JobLogs, lease: int, offset: int) -> bool:
    start = await logs.resume("job", lease, offset)
    return bool([found async for found in logs.read("job", lease, start.offset)])


async def read_line(logs: JobLogs, lease: int, line: int) -> bytes:
    return b"".join([data async for data in logs.text("job", lease, first=line, count=1)])
