"""Journals, as files and in tables: offsets, repetitions, torn tails, several servers at one journal."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.postgres import Cluster

from agent.errors import AgentError, DamagedError
from agent.journal.format import Log, decode, encode
from agent.journal.magic import MAGIC
from agent.server.data.journals import Journals, files, read_records
from agent.server.data.journals.files import FileJournals
from agent.server.data.journals.table import TableJournals
from agent.server.events.live import Bus
from agent.server.store.database import Database, open_database

pytestmark = pytest.mark.anyio

JOB = "job_" + "0" * 20
WHOLE = MAGIC + b"".join(encode(Log(0, 1, bytes([65 + number]) * number)) for number in range(20))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def database(postgres: Cluster) -> AsyncIterator[Database]:
    opened = await open_database(postgres.make_database())
    yield opened
    await opened.close()


@pytest.fixture(params=["files", "table"])
async def journals(
    request: pytest.FixtureRequest, tmp_path: Path, postgres: Cluster
) -> AsyncIterator[Journals]:
    if request.param == "files":
        yield FileJournals(tmp_path)
        return
    opened = await open_database(postgres.make_database())
    yield TableJournals(opened, Bus())
    await opened.close()


async def test_a_link_in_the_place_of_a_journal_is_not_followed(tmp_path: Path) -> None:
    journals = FileJournals(tmp_path)
    target = tmp_path / "target"
    target.write_bytes(b"")
    (tmp_path / f"{JOB}-1").symlink_to(target)
    with pytest.raises(AgentError, match="Too many levels"):
        await journals.append(JOB, 1, 0, b"x")
    assert target.read_bytes() == b""


async def test_the_folder_of_journals_is_made_durable_when_it_has_one_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def sync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    fsync = os.fsync
    monkeypatch.setattr(files.os, "fsync", sync)
    folder = tmp_path.stat().st_ino
    first = FileJournals(tmp_path)
    await first.append(JOB, 1, 0, b"abc")
    assert await first.sync([(JOB, 1)]) == [3]
    assert folder in synced
    synced.clear()
    await first.append(JOB, 1, 3, b"def")
    assert await first.sync([(JOB, 1)]) == [6]
    assert synced == [(tmp_path / f"{JOB}-1").stat().st_ino]
    await first.append(JOB, 2, 0, b"abc")
    await first.sync([(JOB, 1)])
    assert folder not in synced
    await first.sync([(JOB, 2)])
    assert folder in synced
    synced.clear()
    await FileJournals(tmp_path).sync([(JOB, 1)])  # of a process that was killed before it came to it
    assert folder in synced


async def test_bytes_are_read_as_they_were_appended(journals: Journals) -> None:
    assert await journals.sync([(JOB, 1)]) == [0]
    await journals.append(JOB, 1, 0, b"abc")
    await journals.append(JOB, 1, 3, b"def")
    assert await journals.sync([(JOB, 1), (JOB, 2)]) == [6, 0]
    assert await journals.read(JOB, 1, 2) == b"cdef"
    assert await journals.read(JOB, 2, 0) == b""


async def test_repeated_bytes_change_nothing(journals: Journals) -> None:
    await journals.append(JOB, 1, 0, b"abcdef")
    await journals.append(JOB, 1, 2, b"cd")
    await journals.append(JOB, 1, 4, b"efgh")
    assert await journals.sync([(JOB, 1)]) == [8]
    assert await journals.read(JOB, 1, 0) == b"abcdefgh"


async def test_a_gap_and_other_bytes_are_refused_and_change_nothing(journals: Journals) -> None:
    await journals.append(JOB, 1, 0, b"abc")
    with pytest.raises(DamagedError, match="from 4, but only 3 are here"):
        await journals.append(JOB, 1, 4, b"e")
    with pytest.raises(DamagedError, match="other journal bytes"):
        await journals.append(JOB, 1, 1, b"Xcd")
    assert await journals.sync([(JOB, 1)]) == [3]
    assert await journals.read(JOB, 1, 0) == b"abc"


async def test_records_stop_at_the_end_that_is_given(journals: Journals) -> None:
    await journals.append(JOB, 1, 0, WHOLE)
    await journals.sync([(JOB, 1)])
    ends = [end for end, _ in decode(WHOLE)]
    assert [end for end, _ in await read_records(journals, JOB, 1, 0, ends[4] + 3)] == ends[:5]
    assert await read_records(journals, JOB, 1, ends[4], ends[4]) == []


async def test_a_removed_journal_is_empty_again(journals: Journals) -> None:
    await journals.append(JOB, 1, 0, b"abc")
    await journals.sync([(JOB, 1)])
    await journals.remove(JOB, 1)
    await journals.remove(JOB, 2)
    assert await journals.read(JOB, 1, 0) == b""
    assert await journals.sync([(JOB, 1)]) == [0]


async def test_long_journals_are_read_in_any_pieces(journals: Journals) -> None:
    whole = bytes(range(256)) * 4096
    for start in range(0, len(whole), 300_000):
        await journals.append(JOB, 1, start, whole[start : start + 300_000])
        await journals.sync([(JOB, 1)])
    for offset, limit in ((0, 10), (262_140, 10), (299_999, 2), (500_000, 400_000), (len(whole), 5)):
        assert await journals.read(JOB, 1, offset, limit) == whole[offset : offset + limit]


async def test_only_what_was_synced_is_there_for_others(database: Database) -> None:
    here, there = TableJournals(database, Bus()), TableJournals(database, Bus())
    await here.append(JOB, 1, 0, b"abc")
    assert await there.sync([(JOB, 1)]) == [0]
    assert await here.sync([(JOB, 1)]) == [3]
    assert await there.sync([(JOB, 1)]) == [3]
    assert await there.read(JOB, 1, 0) == b"abc"


async def test_an_agent_may_go_on_at_another_server_and_come_back(database: Database) -> None:
    here, there = TableJournals(database, Bus()), TableJournals(database, Bus())
    for journals, offset, data in (
        (here, 0, b"abc"),
        (there, 3, b"def"),
        (here, 6, b"ghi"),
        (there, 2, b"cdefghij"),
    ):
        await journals.append(JOB, 1, offset, data)
        await journals.sync([(JOB, 1)])
    assert await here.read(JOB, 1, 0) == b"abcdefghij"


async def test_the_same_bytes_at_two_servers_are_stored_once(database: Database) -> None:
    here, there = TableJournals(database, Bus()), TableJournals(database, Bus())
    await here.append(JOB, 1, 0, b"abcdef")
    await there.append(JOB, 1, 0, b"abcd")
    await asyncio.gather(here.sync([(JOB, 1)]), there.sync([(JOB, 1)]))
    assert await here.read(JOB, 1, 0) == b"abcdef"


async def test_other_bytes_than_another_server_has_stored_are_refused_once(database: Database) -> None:
    here, there = TableJournals(database, Bus()), TableJournals(database, Bus())
    await here.append(JOB, 1, 0, b"abcdef")
    await there.append(JOB, 1, 0, b"abX")
    await here.sync([(JOB, 1)])
    with pytest.raises(DamagedError, match="another server has stored"):
        await there.sync([(JOB, 1)])
    assert await there.sync([(JOB, 1)]) == [6]
    assert await there.read(JOB, 1, 0) == b"abcdef"


async def test_bytes_that_come_during_a_sync_are_kept_for_the_next(database: Database) -> None:
    journals = TableJournals(database, Bus())
    await journals.append(JOB, 1, 0, b"abc")
    first, _ = await asyncio.gather(journals.sync([(JOB, 1)]), journals.append(JOB, 1, 3, b"def"))
    assert first[0] in (3, 6)
    assert await journals.sync([(JOB, 1)]) == [6]
    assert await journals.read(JOB, 1, 0) == b"abcdef"


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
