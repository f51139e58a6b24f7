"""Archives: every byte comes back, any line is found, and finding one costs the same in a small log and in a large one."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.errors import DamagedError
from agent.journal.format import Closed, Log, Opened, Record, encode
from agent.journal.magic import MAGIC
from agent.server.data.archive.format import FOOTER, Packer
from agent.server.data.archive.lines import Cut, Tail, text_of
from agent.server.data.archive.reader import ArchiveReader
from agent.spec.outcome import Conclusion, JobResult

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Shelf:
    """An archive, and how much of it was fetched."""

    def __init__(self, records: Sequence[Record], pieces: int = 50) -> None:
        packer = Packer()
        made = []
        for place in range(0, len(records), pieces):
            data = b"".join(map(encode, records[place : place + pieces]))
            made += packer.feed(data if place else MAGIC + data)
        self.data = b"".join([*made, *packer.finish()])
        self.journal_bytes = packer.journal_bytes
        self.fetched = 0
        self.reader = ArchiveReader(self.fetch, len(self.data))

    async def fetch(self, start: int, end: int) -> bytes:
        self.fetched += end - start
        return self.data[start:end]


def lines_of(count: int, step: int = 0) -> list[Record]:
    return [Log(step, n, f"line {n}\n".encode()) for n in range(1, count + 1)]


async def read(shelf: Shelf, first: int, count: int | None, step: int | None = None) -> bytes:
    cut, out, is_first = Cut(first, count), b"", True
    async for ended, found in shelf.reader.frames_from_line(first, step):
        if is_first:
            cut.skip(ended)
        is_first = False
        out += cut.take(text_of(found, step))
        if cut.is_done:
            break
    return out


async def test_the_records_come_back_with_the_journals_own_offsets() -> None:
    records = [Opened("job_1", 1, 5), *lines_of(40_000), Closed(9, JobResult(Conclusion.SUCCESS))]
    shelf = Shelf(records)
    found = [pair async for frame in shelf.reader.frames_from(0) for pair in frame]
    assert [record for _, record in found] == records
    ends, end = [], len(MAGIC)
    for record in records:
        end += len(encode(record))
        ends.append(end)
    assert [end for end, _ in found] == ends
    assert shelf.journal_bytes == ends[-1]
    middle = ends[len(ends) // 2]
    rest = [end async for frame in shelf.reader.frames_from(middle) for end, _ in frame]
    assert rest == [end for end in ends if end > middle]


async def test_finding_a_line_costs_the_same_in_a_log_that_is_thirty_times_as_long() -> None:
    costs = []
    for count in (15_000, 450_000):
        shelf = Shelf(lines_of(count), pieces=5_000)
        for line in (1, count // 2, count):
            shelf.fetched = 0
            assert await read(shelf, line, 1) == f"line {line}\n".encode()
            costs.append(shelf.fetched)
        assert costs[-1] < len(shelf.data)
    assert max(costs[3:]) < 4 * max(costs[:3])
    assert max(costs) < 200_000


async def test_going_on_near_the_end_costs_the_same_in_a_log_that_is_thirty_times_as_long() -> None:
    costs = []
    for count in (15_000, 450_000):
        shelf = Shelf(lines_of(count), pieces=5_000)
        last = shelf.journal_bytes - len(encode(lines_of(count)[-1]))
        shelf.fetched = 0
        start = await shelf.reader.find_start(last)
        found = [end async for frame in shelf.reader.frames_from(start) for end, _ in frame if end > last]
        assert found == [shelf.journal_bytes]
        costs.append(shelf.fetched)
    assert costs[1] < 4 * costs[0]
    assert costs[1] < 200_000


async def test_a_step_is_read_by_its_own_lines() -> None:
    records: list[Record] = []
    for n in range(1, 30_001):
        records += [Log(0, n, f"a{n}\n".encode()), Log(1, n, b"x" * 20 if n % 3 else f"b{n}\n".encode())]
    shelf = Shelf(records)
    assert await read(shelf, 20_000, 2, step=0) == b"a20000\na20001\n"
    assert await read(shelf, 2, 1, step=1) == b"x" * 40 + b"b6\n"
    assert await read(shelf, 10_000, None, step=1) == b"x" * 40 + b"b30000\n"
    assert await read(shelf, 10_001, None, step=1) == b""
    assert await read(shelf, 1, None, step=7) == b""


LOGS = st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=40).map(lambda b: b.replace(b"z", b"\n"))))


@settings(max_examples=50, deadline=None)
@given(LOGS, st.integers(1, 30), st.none() | st.integers(1, 9), st.none() | st.integers(0, 2))
async def test_any_part_is_what_splitting_the_text_gives(
    logs: list[tuple[int, bytes]], first: int, count: int | None, step: int | None
) -> None:
    shelf = Shelf([Log(number, 1, data) for number, data in logs], pieces=3)
    text = b"".join(data for number, data in logs if step in (None, number))
    parts = text.split(b"\n")
    whole = [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
    stop = None if count is None else first - 1 + count
    assert await read(shelf, first, count, step) == b"".join(whole[first - 1 : stop])
    for n in (1, 3, 100):
        forward, backward = Tail(n), Tail(n)
        for _, data in [pair for pair in logs if step in (None, pair[0])]:
            forward.append(data)
        async for found in shelf.reader.frames_backwards():
            backward.prepend(text_of(found, step))
            if backward.is_full:
                break
        assert forward.read() == backward.read() == b"".join(whole[-n:])


async def test_an_empty_journal_makes_an_archive_without_frames() -> None:
    shelf = Shelf([])
    assert [frame async for frame in shelf.reader.frames_from(0)] == []


@pytest.mark.parametrize("where", ["footer", "root", "frame", "short"])
async def test_an_archive_that_was_changed_is_told_and_not_believed(where: str) -> None:
    shelf = Shelf(lines_of(100))
    place = {"footer": -3, "root": -FOOTER.size - 10, "frame": 40, "short": 0}[where]
    data = bytearray(shelf.data)
    data[place] ^= 0x55
    shelf.data = bytes(data) if where != "short" else b"FLOW"
    with pytest.raises(DamagedError):
        await read(shelf, 1, None)
