"""Journal files: offsets, repetitions, torn tails."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import AgentError, DamagedError
from agent.journal.format import MAGIC, Log, encode
from agent.server.journals import Journals

JOB = "job_" + "0" * 20
WHOLE = MAGIC + b"".join(encode(Log(0, 1, bytes([65 + number]) * number)) for number in range(20))


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path)


def test_bytes_are_read_as_they_were_appended(journals: Journals) -> None:
    assert journals.size(JOB, 1) == 0
    assert journals.append(JOB, 1, 0, b"abc") == 3
    assert journals.append(JOB, 1, 3, b"def") == 6
    assert journals.sync(JOB, 1) == 6
    assert journals.read(JOB, 1, 2) == b"cdef"
    assert journals.read(JOB, 2, 0) == b""


def test_repeated_bytes_change_nothing(journals: Journals) -> None:
    journals.append(JOB, 1, 0, b"abcdef")
    assert journals.append(JOB, 1, 2, b"cd") == 6
    assert journals.append(JOB, 1, 4, b"efgh") == 8
    assert journals.read(JOB, 1, 0) == b"abcdefgh"


def test_a_gap_and_other_bytes_are_refused_and_change_nothing(journals: Journals) -> None:
    journals.append(JOB, 1, 0, b"abc")
    with pytest.raises(DamagedError, match="from 4, but only 3 are here"):
        journals.append(JOB, 1, 4, b"e")
    with pytest.raises(DamagedError, match="other journal bytes"):
        journals.append(JOB, 1, 1, b"Xcd")
    assert journals.read(JOB, 1, 0) == b"abc"


def test_a_link_in_the_place_of_a_journal_is_not_followed(journals: Journals, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"")
    (tmp_path / f"{JOB}-1").symlink_to(target)
    with pytest.raises(AgentError, match="Too many levels"):
        journals.append(JOB, 1, 0, b"x")
    assert target.read_bytes() == b""


@given(cut=st.integers(0, len(WHOLE)), junk=st.binary(max_size=30), data=st.data())
def test_cutting_a_tail_keeps_every_whole_record_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes, data: st.DataObject
) -> None:
    journals = Journals(tmp_path_factory.mktemp("journals"))
    ends = [len(MAGIC)] + [end for end, _ in _records(WHOLE)]
    whole_ends = [end for end in ends if end <= cut]
    applied = data.draw(st.sampled_from([0, *[end for end in whole_ends if end > len(MAGIC)]]))
    journals.append(JOB, 1, 0, WHOLE[:cut] + junk)
    journals.cut_tail(JOB, 1, applied)
    kept = journals.read(JOB, 1, 0)
    assert len(kept) >= max([end for end in whole_ends if end > len(MAGIC)], default=0)
    records = _records(kept)
    assert not kept or (records and records[-1][0] == len(kept))
    if not junk:
        assert WHOLE.startswith(kept)


def test_records_stop_at_the_end_that_is_given(journals: Journals) -> None:
    journals.append(JOB, 1, 0, WHOLE)
    ends = [end for end, _ in _records(WHOLE)]
    assert [end for end, _ in journals.records(JOB, 1, 0, ends[4] + 3)] == ends[:5]
    assert journals.records(JOB, 1, ends[4], ends[4]) == []


def _records(content: bytes) -> list[tuple[int, object]]:
    from agent.journal.format import decode

    return list(decode(content))
