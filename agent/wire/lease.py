"""The life of one lease, as the server sees it, and fencing. Pure: time comes as numbers.

    offered --accept--> accepted --complete--> released     the journal is whole: the normal end
    offered --heard--> accepted                             the word `accept` was lost with a connection
    offered --refuse--> refused                             the agent does not want it
    offered, accepted --expire--> expired                   nothing was heard in time (`agent.wire.lease_watch`)
    offered, accepted --revoke--> revoked                   taken away: replaced, agent removed, data lost

    a repeated word, and a sign of life of an agent that has not heard of the end yet, change nothing:
    accepted --accept--> accepted      accepted --heard--> accepted
    released --complete--> released    released --heard--> released
    refused --refuse--> refused        expired --expire--> expired      revoked --revoke--> revoked

A job begins when its lease is accepted, in rows, and its agent has heard so (`agent.wire.messages`): an offer that ends
has begun nothing. The four ends are final. Any other event on an ended lease is a StaleLeaseError, so a lease that was
given up is never completed by its old holder.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from agent.errors import StaleLeaseError
from agent.states import Transitions


class LeaseState(StrEnum):
    """Where a lease stands."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    RELEASED = "released"
    REFUSED = "refused"
    EXPIRED = "expired"
    REVOKED = "revoked"


class LeaseEvent(StrEnum):
    """What happens to a lease. `HEARD`: its agent gave a sign of life that names it (heartbeat, journal)."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    HEARD = "heard"
    COMPLETE = "complete"
    EXPIRE = "expire"
    REVOKE = "revoke"


_S, _E = LeaseState, LeaseEvent

TRANSITIONS: dict[tuple[LeaseState, LeaseEvent], LeaseState] = {
    (_S.OFFERED, _E.ACCEPT): _S.ACCEPTED,
    (_S.OFFERED, _E.HEARD): _S.ACCEPTED,  # the word `accept` was lost with a connection; the folder is there
    (_S.OFFERED, _E.REFUSE): _S.REFUSED,
    (_S.OFFERED, _E.EXPIRE): _S.EXPIRED,
    (_S.OFFERED, _E.REVOKE): _S.REVOKED,
    (_S.ACCEPTED, _E.ACCEPT): _S.ACCEPTED,
    (_S.ACCEPTED, _E.HEARD): _S.ACCEPTED,
    (_S.ACCEPTED, _E.COMPLETE): _S.RELEASED,
    (_S.ACCEPTED, _E.EXPIRE): _S.EXPIRED,
    (_S.ACCEPTED, _E.REVOKE): _S.REVOKED,
    # Repeats of what ended it, and signs of life from an agent that has not heard of the end yet.
    (_S.RELEASED, _E.COMPLETE): _S.RELEASED,
    (_S.RELEASED, _E.HEARD): _S.RELEASED,
    (_S.REFUSED, _E.REFUSE): _S.REFUSED,
    (_S.EXPIRED, _E.EXPIRE): _S.EXPIRED,
    (_S.REVOKED, _E.REVOKE): _S.REVOKED,
}

LEASES: Final = Transitions.of_events("lease", frozenset({_S.OFFERED}), TRANSITIONS)
ENDS: Final = LEASES.ends


@dataclass(frozen=True, slots=True)
class LeaseTerms:
    """How long the server waits: for the answer to an offer, and for a sign of life of an accepted job."""

    offer_seconds: float = 30.0
    grace_seconds: float = 1800.0


@dataclass(frozen=True, slots=True)
class Lease:
    """One agent's right to one job, under a number that only grows.

    `deadline` changes with every sign of life, and is None once the lease has ended. It is written by the clock of
    whoever heard, and compared with no clock: see `agent.wire.lease_watch`.
    """

    job: str
    number: int
    agent: str
    state: LeaseState
    deadline: float | None


def offer(job: str, number: int, agent: str, *, now: float, terms: LeaseTerms) -> Lease:
    """A new lease, to be answered within `terms.offer_seconds`."""
    return Lease(job, number, agent, LeaseState.OFFERED, now + terms.offer_seconds)


def advance(lease: Lease, event: LeaseEvent, *, now: float, terms: LeaseTerms) -> Lease:
    """`lease` after `event`. Raises StaleLeaseError when a lease in this state can't take it."""
    state = TRANSITIONS.get((lease.state, event))
    if state is None:
        raise StaleLeaseError(
            f"'{event}' came for lease {lease.number}, which is {lease.state}", where=f"job {lease.job}"
        )
    deadline = None if state in ENDS else now + terms.grace_seconds
    return replace(lease, state=state, deadline=deadline)


def check(current: int, given: int, *, job: str = "") -> None:
    """Fencing: raises StaleLeaseError unless `given` is the `current` lease number of the job."""
    if given == current:
        return
    verdict = "is over" if given < current else "was never given out"
    raise StaleLeaseError(
        f"lease {given} {verdict}, the current one is {current}", where=f"job {job}" if job else ""
    )
