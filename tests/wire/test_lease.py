"""The life of a lease: its table, and that an ended one never comes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import StaleLeaseError
from agent.wire.lease import ENDS, Lease, LeaseEvent, LeaseState, LeaseTerms, advance, check, offer

TERMS = LeaseTerms(offer_seconds=30, grace_seconds=100)


def after(*events: LeaseEvent, now: float = 0) -> Lease:
    lease = offer("job_1", 1, "agent_1", now=now, terms=TERMS)
    for event in events:
        lease = advance(lease, event, now=now, terms=TERMS)
    return lease


def test_the_normal_life_is_offered_accepted_released():
    assert after().state is LeaseState.OFFERED
    assert after(LeaseEvent.ACCEPT).state is LeaseState.ACCEPTED
    assert after(LeaseEvent.ACCEPT, LeaseEvent.HEARD, LeaseEvent.COMPLETE).state is LeaseState.RELEASED


def test_a_sign_of_life_stands_for_an_accept_that_was_lost():
    assert after(LeaseEvent.HEARD).state is LeaseState.ACCEPTED


@pytest.mark.parametrize(
    ("ending", "repeated"),
    [
        ((LeaseEvent.REFUSE,), LeaseEvent.REFUSE),
        ((LeaseEvent.ACCEPT, LeaseEvent.COMPLETE), LeaseEvent.COMPLETE),
        ((LeaseEvent.ACCEPT, LeaseEvent.COMPLETE), LeaseEvent.HEARD),
        ((LeaseEvent.EXPIRE,), LeaseEvent.EXPIRE),
        ((LeaseEvent.REVOKE,), LeaseEvent.REVOKE),
    ],
)
def test_a_repeated_end_changes_nothing(ending, repeated):
    assert after(*ending, repeated) == after(*ending)


def test_a_lease_that_was_given_up_is_never_completed_by_its_old_holder():
    for end in (LeaseEvent.EXPIRE, LeaseEvent.REVOKE):
        with pytest.raises(StaleLeaseError, match="'complete' came for lease 1, which is"):
            after(LeaseEvent.ACCEPT, end, LeaseEvent.COMPLETE)


def test_an_offer_can_not_complete_before_it_was_accepted():
    with pytest.raises(StaleLeaseError):
        after(LeaseEvent.COMPLETE)


@given(st.lists(st.sampled_from(LeaseEvent), max_size=12))
def test_whatever_happens_an_end_is_final(events):
    lease = after()
    for event in events:
        before = lease
        try:
            lease = advance(lease, event, now=5, terms=TERMS)
        except StaleLeaseError:
            continue
        assert before.state not in ENDS or lease == before
        assert (lease.deadline is None) == (lease.state in ENDS)


def test_the_current_number_passes_the_fence_and_no_other_does():
    check(3, 3)
    with pytest.raises(StaleLeaseError, match="lease 2 is over, the current one is 3"):
        check(3, 2, job="job_1")
    with pytest.raises(StaleLeaseError, match="lease 4 was never given out"):
        check(3, 4)
