"""The journal on disk: torn tails, reading on, full disks."""

import os
from pathlib import Path

import pytest

from agent.errors import AgentError, DamagedError, SpoiledError
from agent.journal.file import JournalReader, JournalWriter, read_from
from agent.journal.format import Log, encode
from agent.journal.magic import MAGIC, size


def test_what_was_appended_is_read_back_with_its_offsets(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writer = JournalWriter(path)
    ends = [writer.append(Log(0, 1, b"one")), writer.append(Log(1, 2, b"two"))]
    writer.sync()
    assert list(JournalReader(path)) == [(ends[0], Log(0, 1, b"one")), (ends[1], Log(1, 2, b"two"))]
    assert list(JournalReader(path, ends[0])) == [(ends[1], Log(1, 2, b"two"))]
    assert (size(path), writer.end) == (ends[1], ends[1])
    assert read_from(path, ends[0], 1 << 20) == encode(Log(1, 2, b"two"))
    assert path.stat().st_mode & 0o777 == 0o600
    writer.close()
    writer.close()


def test_a_reader_goes_on_when_something_new_has_come(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    reader = JournalReader(path)
    assert list(reader) == []
    writer = JournalWriter(path)
    assert list(reader) == []
    writer.append(Log(0, 1, b"one"))
    assert [record for _end, record in reader] == [Log(0, 1, b"one")]
    assert list(reader) == []
    writer.append(Log(0, 2, b"two"))
    assert [record for _end, record in reader] == [Log(0, 2, b"two")]


@pytest.mark.parametrize("torn_bytes", [1, 5, 12, 20])
def test_a_torn_tail_is_cut_at_the_last_whole_record(tmp_path: Path, torn_bytes: int) -> None:
    path = tmp_path / "journal"
    writer = JournalWriter(path)
    end = writer.append(Log(0, 1, b"whole"))
    writer.append(Log(0, 2, b"torn off"))
    writer.close()
    os.truncate(path, size(path) - torn_bytes)
    assert [record for _end, record in JournalReader(path)] == [Log(0, 1, b"whole")]
    taken_up = JournalWriter(path)
    assert taken_up.end == end
    taken_up.append(Log(0, 3, b"next"))
    assert [record for _end, record in JournalReader(path)] == [Log(0, 1, b"whole"), Log(0, 3, b"next")]


def test_a_journal_larger_than_one_look_is_taken_up_whole(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writer = JournalWriter(path)
    for number in range(12):
        end = writer.append(Log(number, 0, bytes(900_000)))
    writer.close()
    assert JournalWriter(path).end == end
    assert [record.step for _end, record in JournalReader(path) if isinstance(record, Log)] == list(range(12))


def test_a_writer_that_died_in_the_mark_is_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(MAGIC[:3])
    assert JournalWriter(path).end == len(MAGIC)
    assert path.read_bytes() == MAGIC


def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b"my precious notes")
    with pytest.raises(AgentError, match="not a journal"):
        JournalWriter(path)
    assert path.read_bytes() == b"my precious notes"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "journal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SpoiledError, match="journal"):
        JournalWriter(tmp_path / "journal")
    assert not (tmp_path / "elsewhere").exists()


def test_damage_in_the_middle_is_never_skipped(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    writer = JournalWriter(path)
    writer.append(Log(0, 1, b"one"))
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedError, match="checksum"):
        list(JournalReader(path))


@pytest.mark.parametrize("rubbish", [bytes(5000), b"\xff" * 5000])
def test_what_a_loss_of_power_left_is_cut_off_and_kept_beside(tmp_path: Path, rubbish: bytes) -> None:
    path = tmp_path / "journal"
    writer = JournalWriter(path)
    end = writer.append(Log(0, 1, b"one"))
    with path.open("ab") as file:
        file.write(rubbish)
    assert JournalWriter(path).end == end
    assert (tmp_path / f"journal.damaged-{end}").read_bytes() == rubbish
    assert list(JournalReader(path)) == [(end, Log(0, 1, b"one"))]


def test_a_full_disk_is_an_error_and_leaves_whole_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path / "journal")
    end = writer.append(Log(0, 1, b"one"))
    real_write = os.write

    def write_half(file: int, data: bytes) -> int:
        if len(data) < 40:
            raise OSError(28, "No space left on device")
        return real_write(file, bytes(data)[: len(data) - 30])

    monkeypatch.setattr(os, "write", write_half)
    with pytest.raises(AgentError, match="the disk is full"):
        writer.append(Log(0, 2, bytes(100)))
    monkeypatch.undo()
    assert size(tmp_path / "journal") == end
    writer.append(Log(0, 3, b"room again"))
    assert [record for _end, record in JournalReader(tmp_path / "journal")] == [
        Log(0, 1, b"one"),
        Log(0, 3, b"room again"),
    ]
