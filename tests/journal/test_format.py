"""The journal's bytes: what was written comes back, a torn tail is not there, damage is never skipped."""

import contextlib
import itertools
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DamagedError
from agent.journal.format import (
    FRAME_OVERHEAD_BYTES,
    MAGIC,
    MAX_PAYLOAD_BYTES,
    Annotation,
    Closed,
    Log,
    Opened,
    Record,
    StepChanged,
    Summary,
    decode,
    encode,
    whole_length,
)
from agent.journal.public import PublicRecords
from agent.spec.outcome import Conclusion, FailureKind, JobResult

numbers = st.integers(0, 2**32 - 1)
times = st.integers(0, 2**53)
conclusions = st.none() | st.sampled_from(Conclusion)
results = st.builds(
    JobResult,
    st.sampled_from(Conclusion),
    st.dictionaries(st.text(), st.text(), max_size=3),
    st.none() | st.sampled_from(FailureKind),
    st.text(),
)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Log, numbers, times, st.binary(max_size=200)),
    st.builds(Opened, st.text(), numbers, times),
    st.builds(StepChanged, numbers, st.text(), st.text(), st.just("completed"), times, outcome=conclusions),
    st.builds(Annotation, numbers, st.sampled_from(["error", "notice"]), st.text()),
    st.builds(Summary, numbers, st.text()),
    st.builds(Closed, times, results),
)
journals = st.lists(records, max_size=8)


def write(journal: list[Record]) -> bytes:
    return MAGIC + b"".join(encode(record) for record in journal)


@given(journals)
def test_what_was_written_comes_back_with_the_offset_of_its_end(journal: list[Record]) -> None:
    data = write(journal)
    found = list(decode(data))
    assert [record for _end, record in found] == journal
    for end, _record in found:
        assert whole_length(data[:end]) == end
    assert whole_length(data) == len(data)


@given(journals, st.data())
def test_reading_can_go_on_from_any_frames_end(journal: list[Record], data: st.DataObject) -> None:
    written = write(journal)
    ends = [len(MAGIC), *(end for end, _record in decode(written))]
    index = data.draw(st.integers(0, len(ends) - 1))
    rest = list(decode(written[ends[index] :], offset=ends[index]))
    assert [record for _end, record in rest] == journal[index:]


@given(journals, st.data())
def test_a_torn_tail_is_cut_at_the_last_whole_record(journal: list[Record], data: st.DataObject) -> None:
    written = write(journal)
    torn = written[: data.draw(st.integers(len(MAGIC), len(written)))]
    kept = list(decode(torn))
    assert [record for _end, record in kept] == journal[: len(kept)]
    assert whole_length(torn) == (kept[-1][0] if kept else len(MAGIC))


@given(journals.filter(bool), st.data())
def test_a_changed_byte_is_never_read_as_something_else(journal: list[Record], data: st.DataObject) -> None:
    written = bytearray(write(journal))
    place = data.draw(st.integers(len(MAGIC), len(written) - 1))
    written[place] ^= data.draw(st.integers(1, 255))
    found: list[Record] = []
    with contextlib.suppress(DamagedError):
        found.extend(record for _end, record in decode(bytes(written)))
    assert found == journal[: len(found)], "only what stands before the damage"
    assert len(found) < len(journal)


def frame(kind: int, payload: bytes) -> bytes:
    head = struct.pack("<IB", len(payload), kind)
    return head + payload + struct.pack("<I", zlib.crc32(payload, zlib.crc32(head)))


def test_a_kind_that_is_not_known_is_skipped() -> None:
    data = MAGIC + frame(99, b"from the future") + encode(Summary(1, "x"))
    assert [record for _end, record in decode(data)] == [Summary(1, "x")]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"NOTHING!", "not a journal"),
        (MAGIC + struct.pack("<IB", MAX_PAYLOAD_BYTES + 1, 2) + b"x" * 20, "claims"),
        (MAGIC + frame(5, b"{"), "not JSON"),
        (MAGIC + frame(5, b'{"step": 1, "text": NaN}'), "not JSON"),
        (MAGIC + frame(5, b'{"step": 1}'), "'text' is missing"),
    ],
)
def test_damage_is_said_with_its_offset(data: bytes, words: str) -> None:
    with pytest.raises(DamagedError, match=words) as caught:
        list(decode(data))
    assert "offset" in caught.value.where


def test_a_beginning_that_is_not_whole_holds_nothing_yet() -> None:
    assert list(decode(MAGIC[:3])) == []
    assert whole_length(MAGIC[:3]) == 0


def test_a_record_that_is_too_large_is_a_bug_of_the_writer() -> None:
    with pytest.raises(ValueError, match="at most"):
        encode(Log(1, 1, b"x" * MAX_PAYLOAD_BYTES))
    assert len(encode(Log(1, 1, b"x"))) == FRAME_OVERHEAD_BYTES + 13


def public(*journal: Record) -> list[dict[str, object]]:
    records = PublicRecords("train")
    return [shown for record in journal for shown in records.convert(record)]


def step(number: int, state: str) -> StepChanged:
    return StepChanged(number, f"s{number}", f"Step {number}", state, 1000)


@given(st.text(alphabet="ab\né", max_size=40), st.lists(st.integers(0, 40), max_size=6))
def test_lines_are_the_same_however_their_bytes_were_cut(text: str, cuts: list[int]) -> None:
    data = text.encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[a:b] for a, b in itertools.pairwise(places)]
    shown = public(step(1, "running"), *(Log(1, 5, chunk) for chunk in chunks), step(1, "completed"))
    lines = [record["text"] for record in shown if record["kind"] == "log"]
    assert lines == text.removesuffix("\n").split("\n") if text else lines == []


def test_lines_of_steps_that_run_at_once_are_not_mixed() -> None:
    shown = public(
        step(1, "running"), step(2, "running"), Log(1, 1, b"on"), Log(2, 2, b"two\n"), Log(1, 3, b"e\n")
    )
    logs = [(record["step"], record["text"]) for record in shown if record["kind"] == "log"]
    assert logs == [("s2", "two"), ("s1", "one")]


def test_an_unfinished_line_is_shown_when_the_journal_is_closed() -> None:
    shown = public(step(1, "running"), Log(1, 1, b"last words"), Closed(2, JobResult(Conclusion.FAILURE)))
    assert [record["kind"] for record in shown] == ["step", "log", "job"]
    assert shown[-1]["conclusion"] == "failure"


def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    (record,) = (r for r in public(step(1, "running"), Log(1, 1, b"\xff\xfe\n")) if r["kind"] == "log")
    assert record["text"] == "\ufffd\ufffd"
