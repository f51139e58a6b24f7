"""agent/machine/gpu_faults.py: what keeps a GPU from jobs, which faults end jobs, and when a GPU is well again."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.machine.gpu_faults import XIDS, DriverLook, FaultBook, GpuHealth, GpuUnit, XidEvent

WELL = GpuHealth(0, "GPU-a", (GpuUnit("GPU-a"),), uncorrected=0, remap_pending=False, recovery=0)
OTHER = replace(WELL, index=1, uuid="GPU-b", units=(GpuUnit("GPU-b"),))
CUT = replace(WELL, units=(GpuUnit("MIG-1", 1), GpuUnit("MIG-2", 2)))


def seen(*looks: DriverLook | GpuHealth | XidEvent) -> FaultBook:
    """What was seen one after the other; a health is a look at that GPU alone."""
    book = FaultBook()
    for look in looks:
        match look:
            case DriverLook():
                book.look(look)
            case GpuHealth():
                book.look(DriverLook((look,)))
            case XidEvent():
                book.hear(look)
    return book


def told(book: FaultBook) -> list[tuple[tuple[str, ...], str, bool]]:
    return [(fault.units, fault.words, fault.ends_jobs) for fault in book.list_faults()]


def test_gpus_that_are_well_have_no_fault() -> None:
    assert told(seen(DriverLook((WELL, OTHER)))) == []


@pytest.mark.parametrize(
    ("sick", "words", "ends_jobs"),
    [
        ({"error": 15}, "it fell off the bus", True),
        ({"error": 28}, "it fell off the bus", True),
        ({"error": 16}, "it has to be reset", True),
        ({"uncorrected": 3}, "3 memory errors that can't be corrected", True),
        ({"remap_pending": True}, "broken memory waits for a reset to be replaced", False),
        ({"remap_failed": True}, "broken memory can't be replaced", False),
        ({"retire_pending": True}, "broken memory waits for a reset to be taken out of use", False),
        ({"recovery": 1}, "its driver asks for a reset", False),
        ({"recovery": 99}, "its driver asks for a recovery", False),
    ],
)
def test_what_a_look_shows_is_a_fault_until_one_that_does_not(
    sick: dict[str, object], words: str, ends_jobs: bool
) -> None:
    book = seen(DriverLook((WELL, OTHER)), DriverLook((replace(WELL, **sick), OTHER)))
    assert told(book) == [(("GPU-a",), words, ends_jobs)]
    book.look(DriverLook((WELL, OTHER)))
    assert told(book) == []


def test_errors_of_memory_from_before_end_no_job_and_keep_the_gpu_from_new_ones() -> None:
    book = seen(replace(WELL, uncorrected=2))
    assert told(book) == [(("GPU-a",), "2 memory errors that can't be corrected", False)]
    book.look(DriverLook((replace(WELL, uncorrected=3),)))
    assert told(book) == [(("GPU-a",), "3 memory errors that can't be corrected", True)]
    book.look(DriverLook((replace(WELL, uncorrected=3),)))
    assert told(book)[0][2], "a look that shows no more of them does not take that back"


def test_of_instances_only_an_xid_tells_whose_work_an_error_of_memory_was() -> None:
    book = seen(CUT, replace(CUT, uncorrected=1))
    assert told(book) == [(("GPU-a", "MIG-1", "MIG-2"), "1 memory error that can't be corrected", False)]
    book = seen(CUT, XidEvent("GPU-a", 94, 2))
    assert told(book) == [
        (("MIG-2",), "a memory error that can't be corrected, contained to one program (Xid 94)", True)
    ]
    book.look(DriverLook((replace(CUT, units=CUT.units[:1]),)))
    assert told(book) == []


def test_a_gpu_that_is_not_shown_any_more_is_lost_and_back_when_it_is() -> None:
    book = seen(DriverLook((WELL, OTHER)), DriverLook((OTHER,), unreachable=1))
    assert told(book) == [(("GPU-a",), "it fell off the bus", True)]
    assert book.units == {"GPU-b"}
    book.look(DriverLook((OTHER,)))
    assert told(book) == [(("GPU-a",), "it is gone from this machine", True)]
    book.look(DriverLook((WELL, OTHER)))
    assert told(book) == []


def test_one_question_without_an_answer_is_not_a_fault_and_two_are() -> None:
    busy = replace(WELL, error=10)
    assert told(seen(WELL, busy)) == []
    assert told(seen(WELL, busy, WELL, busy)) == []
    assert told(seen(WELL, busy, busy)) == [(("GPU-a",), "it does not answer (Timeout)", False)]


@pytest.mark.parametrize("number", sorted(XIDS))
def test_an_xid_of_the_gpu_counts_until_the_driver_was_loaded_anew(number: int) -> None:
    book = seen(WELL, XidEvent("GPU-a", number), WELL)
    meaning = XIDS[number]
    assert told(book) == [(("GPU-a",), f"{meaning.words} (Xid {number})", meaning.ends_jobs)]
    book.look(DriverLook((WELL,), is_reloaded=True))
    assert told(book) == []


@pytest.mark.parametrize("number", [13, 31, 43, 45, 68, 109, 154, 4711])
def test_an_xid_of_a_program_or_one_that_nobody_knows_is_no_fault(number: int) -> None:
    book = seen(WELL)
    assert book.hear(XidEvent("GPU-a", number)) == ""
    assert told(book) == []


def test_an_xid_of_a_gpu_that_nobody_knows_is_passed_over() -> None:
    assert seen(WELL).hear(XidEvent("GPU-z", 79)) == ""


def test_an_xid_is_over_when_the_gpu_was_away_and_is_back() -> None:
    for away in (DriverLook(unreachable=1), replace(WELL, error=15)):
        assert told(seen(WELL, XidEvent("GPU-a", 79), away, WELL)) == []


def test_an_xid_is_over_when_the_driver_asked_for_a_reset_and_does_not_any_more() -> None:
    asking = replace(WELL, recovery=1)
    assert told(seen(WELL, XidEvent("GPU-a", 95), WELL)) != [], "it never asked: nothing says that it is over"
    assert told(seen(WELL, XidEvent("GPU-a", 95), asking)) != []
    assert told(seen(WELL, XidEvent("GPU-a", 95), asking, WELL)) == []
    assert told(seen(asking, XidEvent("GPU-a", 95), WELL)) == []


def test_a_driver_that_is_away_takes_all_gpus_along_and_brings_them_back() -> None:
    away = DriverLook(away="the NVIDIA driver is away (Driver Not Loaded)")
    book = seen(DriverLook((WELL, OTHER)), XidEvent("GPU-a", 74), away)
    assert [fault.gpu for fault in book.list_faults()] == ["GPU-a", "GPU-b"]
    assert not any(fault.ends_jobs for fault in book.list_faults())
    book.look(DriverLook((WELL, OTHER)))
    assert told(book) == []


def test_a_driver_that_is_silent_is_no_reload() -> None:
    book = seen(WELL, XidEvent("GPU-a", 95))
    book.note_silence(30)
    book.look(DriverLook((WELL,)))
    assert told(book) != []
    silent = seen(WELL)
    silent.note_silence(30)
    assert told(silent) == [(("GPU-a",), "the NVIDIA driver has not answered for 30 seconds", False)]


def test_the_table_of_xids_in_the_documentation_is_the_one_that_counts() -> None:
    page = Path(__file__).parents[2] / "docs" / "gpu.md"
    rows = re.findall(r"^\| (\d+) \| (.+) \| (fails|goes on) \|$", page.read_text(), re.MULTILINE)
    assert rows == [
        (str(number), meaning.words, "fails" if meaning.ends_jobs else "goes on")
        for number, meaning in sorted(XIDS.items())
    ]


healths = st.builds(
    GpuHealth,
    st.integers(0, 2),
    st.sampled_from(["GPU-a", "GPU-b"]),
    st.sampled_from([(GpuUnit("GPU-a"),), (), (GpuUnit("MIG-1", 1), GpuUnit("MIG-2", -1))]),
    st.sampled_from([0, 10, 15, 16, 28, 999, 4711]),
    st.none() | st.integers(0, 3),
    st.none() | st.booleans(),
    st.none() | st.booleans(),
    st.none() | st.booleans(),
    st.none() | st.integers(0, 9),
)
looks = st.builds(
    DriverLook,
    st.lists(healths, max_size=2).map(tuple),
    st.integers(0, 1),
    st.sampled_from(["", "", "away"]),
    st.booleans(),
)
xids = st.builds(
    XidEvent,
    st.sampled_from(["GPU-a", "GPU-z"]),
    st.sampled_from([13, 63, 79, 94]),
    st.none() | st.integers(0, 2),
)


@given(st.lists(looks | xids, max_size=12))
def test_whatever_was_seen_each_fault_has_words_and_all_are_over_when_all_is_well(
    history: list[DriverLook | XidEvent],
) -> None:
    book = seen(*history)
    for fault in book.list_faults():
        assert fault.units
        assert fault.words
    both = DriverLook((WELL, OTHER), is_reloaded=True)
    book.look(both)
    assert told(book) == []
    assert book.units == {"GPU-a", "GPU-b"}
