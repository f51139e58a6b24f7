"""Flow control: the sum stays bounded, bytes go in order, repeats are harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.errors import IllegalVerbError
from agent.wire.window import Window


def window(limit: int = 100) -> Window:
    result = Window(limit)
    result.open("a", 1, 0)
    result.open("b", 1, 50)
    return result


def test_the_limit_holds_over_all_jobs_together():
    w = window()
    w.sent("a", 1, 0, 60)
    assert w.can_send(40)
    assert not w.can_send(41)
    w.sent("b", 1, 50, 90)
    assert w.room_bytes == 0
    with pytest.raises(IllegalVerbError, match="1 bytes do not fit, 0 are free"):
        w.sent("a", 1, 60, 61)


def test_an_ack_makes_room_once_however_often_it_comes():
    w = window()
    w.sent("a", 1, 0, 60)
    for offset in (30, 30, 10):
        w.acked("a", 1, offset)
        assert w.room_bytes == 70


@pytest.mark.parametrize(("start", "word"), [(59, "overlaps"), (61, "skips")])
def test_bytes_that_overlap_or_skip_are_refused(start, word):
    w = window()
    w.sent("a", 1, 0, 60)
    with pytest.raises(IllegalVerbError, match=word):
        w.sent("a", 1, start, 70)


def test_an_ack_of_what_was_never_sent_is_refused():
    w = window()
    for job, lease, offset in (("a", 1, 1), ("a", 2, 0), ("c", 1, 0)):
        with pytest.raises(IllegalVerbError, match="an ack"):
            w.acked(job, lease, offset)


def test_a_journal_that_is_not_open_has_no_next_offset_and_takes_no_bytes():
    w = window()
    assert w.next_offset("c", 1) is None
    assert not w.is_open("a", 2)
    with pytest.raises(IllegalVerbError, match="not open"):
        w.sent("c", 1, 0, 1)


def test_opening_again_goes_on_from_the_servers_offset_with_nothing_unacknowledged():
    w = window()
    w.sent("a", 1, 0, 60)
    w.open("a", 1, 20)
    assert (w.next_offset("a", 1), w.room_bytes) == (20, 100)


def test_closing_gives_the_room_back_and_may_be_repeated():
    w = window()
    w.sent("a", 1, 0, 60)
    w.acked("a", 1, 10)
    w.close("a", 1)
    w.close("a", 1)
    assert w.room_bytes == 100


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.integers(0, 120)), max_size=40))
def test_the_room_is_always_the_limit_less_what_is_under_way(steps):
    w = window()
    sent, acked = {"a": 0, "b": 50}, {"a": 0, "b": 50}
    for job, is_ack, amount in steps:
        if is_ack:
            acked[job] = max(acked[job], min(sent[job], amount))
            w.acked(job, 1, min(sent[job], amount))
        elif w.can_send(amount):
            w.sent(job, 1, sent[job], sent[job] + amount)
            sent[job] += amount
        assert w.room_bytes == 100 - sum(sent.values()) + sum(acked.values()) >= 0
