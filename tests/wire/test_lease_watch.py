"""When leases are over: by the time of who looks, and by no clock of the day."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.wire.lease import Lease, LeaseEvent, LeaseTerms, advance, offer
from agent.wire.lease_watch import BLIND_SECONDS, OVER, LeaseWatch

TERMS = LeaseTerms(offer_seconds=30, grace_seconds=100)
OFFER = offer("job_1", 1, "agent_1", now=5000, terms=TERMS)
ACCEPTED = advance(OFFER, LeaseEvent.ACCEPT, now=5000, terms=TERMS)


def heard(lease: Lease, wall: float) -> Lease:
    """As its row is after a sign of life at this time of the day."""
    return advance(lease, LeaseEvent.HEARD, now=wall, terms=TERMS)


def over_at(lease: Lease, *, watch: LeaseWatch | None = None, start: float = 0) -> float:
    """When a watch that looks every second finds the lease over that stays as it is."""
    watch = watch or LeaseWatch(TERMS)
    now = start
    while not watch.look([lease], now):
        now += 1
    return now


def test_an_offer_is_over_after_its_own_time_and_an_accepted_job_after_the_grace():
    assert over_at(OFFER) == 30
    assert over_at(ACCEPTED) == 100


@pytest.mark.parametrize("wall", [-1e6, 1.0, 5001.0, 1e12])
def test_a_sign_of_life_gives_the_whole_time_anew_whatever_the_clock_says_of_who_heard_it(wall):
    watch = LeaseWatch(TERMS)
    for now in range(99):
        assert not watch.look([ACCEPTED], now)
    assert over_at(heard(ACCEPTED, wall), watch=watch, start=99) == 199


@given(st.floats(min_value=1, allow_nan=False, allow_infinity=False))
def test_what_the_deadline_is_says_nothing(deadline):
    assert over_at(replace(ACCEPTED, deadline=deadline)) == 100


def test_a_lease_of_which_somebody_said_so_is_over_at_once():
    assert over_at(replace(ACCEPTED, deadline=OVER)) == 0


def test_time_in_which_nobody_looked_does_not_count():
    watch = LeaseWatch(TERMS)
    assert not watch.look([ACCEPTED], 0)
    back = BLIND_SECONDS + 1000
    assert over_at(ACCEPTED, watch=watch, start=back) == back + 100


def test_a_server_that_starts_gives_everybody_the_whole_time():
    assert over_at(ACCEPTED, start=7000) == 7100


def test_the_time_of_a_new_offer_begins_when_it_is_made():
    watch = LeaseWatch(TERMS)
    watch.look([], 0)
    watch.note(OFFER, 1)
    assert watch.next_due == 31
    assert not watch.look([OFFER], 20)
    assert not watch.look([OFFER], 30.5)
    assert watch.look([OFFER], 31) == [OFFER]


def test_what_has_ended_is_forgotten_and_the_next_one_that_may_be_over_is_known():
    watch = LeaseWatch(TERMS)
    assert watch.next_due == float("inf")
    watch.look([OFFER, ACCEPTED], 10)
    assert watch.next_due == 40
    watch.look([ACCEPTED], 11)
    assert watch.next_due == 110
    watch.look([], 12)
    assert watch.next_due == float("inf")


def test_a_grace_without_end_never_ends():
    watch = LeaseWatch(LeaseTerms(grace_seconds=float("inf")))
    endless = replace(ACCEPTED, deadline=float("inf"))
    assert not any(watch.look([endless], now) for now in range(0, 100_000, 10))
    assert watch.next_due == float("inf")
