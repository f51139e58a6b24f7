"""Journals as files: offsets, repetitions, torn tails."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AgentError, DamagedError
from agent.journal.format import MAGIC, Log, decode, encode
from agent.server.journals import read_records
from agent.server.journals.files import FileJournals

pytestmark = pytest.mark.anyio

JOB = "job_" + "0" * 20
WHOLE = MAGIC + b"".join(encode(Log(0, 1, bytes([65 + number]) * number)) for number in range(20))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def journals(tmp_path: Path) -> FileJournals:
    return FileJournals(tmp_path)


async def test_a_link_in_the_place_of_a_journal_is_not_followed(
    journals: FileJournals, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"")
    (tmp_path / f"{JOB}-1").symlink_to(target)
    with pytest.raises(AgentError, match="Too many levels"):
        await journals.append(JOB, 1, 0, b"x")
    assert target.read_bytes() == b""


async def test_bytes_are_read_as_they_were_appended(journals: FileJournals) -> None:
    assert await journals.sync([(JOB, 1)]) == [0]
    await journals.append(JOB, 1, 0, b"abc")
    await journals.append(JOB, 1, 3, b"def")
    assert await journals.sync([(JOB, 1), (JOB, 2)]) == [6, 0]
    assert await journals.read(JOB, 1, 2) == b"cdef"
    assert await journals.read(JOB, 2, 0) == b""


async def test_repeated_bytes_change_nothing(journals: FileJournals) -> None:
    await journals.append(JOB, 1, 0, b"abcdef")
    await journals.append(JOB, 1, 2, b"cd")
    await journals.append(JOB, 1, 4, b"efgh")
    assert await journals.sync([(JOB, 1)]) == [8]
    assert await journals.read(JOB, 1, 0) == b"abcdefgh"


async def test_a_gap_and_other_bytes_are_refused_and_change_nothing(journals: FileJournals) -> None:
    await journals.append(JOB, 1, 0, b"abc")
    with pytest.raises(DamagedError, match="from 4, but only 3 are here"):
        await journals.append(JOB, 1, 4, b"e")
    with pytest.raises(DamagedError, match="other journal bytes"):
        await journals.append(JOB, 1, 1, b"Xcd")
    assert await journals.sync([(JOB, 1)]) == [3]
    assert await journals.read(JOB, 1, 0) == b"abc"


async def test_records_stop_at_the_end_that_is_given(journals: FileJournals) -> None:
    await journals.append(JOB, 1, 0, WHOLE)
    await journals.sync([(JOB, 1)])
    ends = [end for end, _ in decode(WHOLE)]
    assert [end for end, _ in await read_records(journals, JOB, 1, 0, ends[4] + 3)] == ends[:5]
    assert await read_records(journals, JOB, 1, ends[4], ends[4]) == []


@given(cut=st.integers(0, len(WHOLE)), junk=st.binary(max_size=30), data=st.data())
def test_cutting_a_tail_keeps_every_whole_record_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes, data: st.DataObject
) -> None:
    ends = [len(MAGIC)] + [end for end, _ in decode(WHOLE)]
    whole_ends = [end for end in ends if end <= cut]
    applied = data.draw(st.sampled_from([0, *[end for end in whole_ends if end > len(MAGIC)]]))

    async def cut_and_read() -> bytes:
        journals = FileJournals(tmp_path_factory.mktemp("journals"))
        await journals.append(JOB, 1, 0, WHOLE[:cut] + junk)
        await journals.cut_tail(JOB, 1, applied)
        return await journals.read(JOB, 1, 0)

    kept = asyncio.run(cut_and_read())
    assert len(kept) >= max([end for end in whole_ends if end > len(MAGIC)], default=0)
    records = list(decode(kept))
    assert not kept or (records and records[-1][0] == len(kept))
    if not junk:
        assert WHOLE.startswith(kept)
