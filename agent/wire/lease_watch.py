"""The watch over leases: when one is over, seen by one onlooker who trusts no clock of the day. Pure.

A sign of life writes a new `deadline` into a lease's row, whoever heard it and whatever that clock says. Whoever looks at
the rows again and again sees a row change, or stay as it is, and measures how long by a clock that only grows:

    seen for the first time, or changed  ->  its time begins: `offer_seconds` for an offer, `grace_seconds` once accepted
    as it was, for all of that time      ->  it is over
    `OVER` instead of a deadline         ->  it is over: somebody said so

So a leap of the wall's clock ends nothing, servers of one database need not agree on the time, and a server that starts
gives everybody the whole time anew. Nor does time count in which nobody could look: a machine that was suspended (its
steady clock stands still meanwhile: on Linux CLOCK_MONOTONIC), a database that was away, a process that was stopped.
(Kubernetes elects its leaders so: client-go, tools/leaderelection, `observedTime`.)
"""

from collections.abc import Iterable

from agent.wire.lease import Lease, LeaseState, LeaseTerms

OVER = 0.0
"""A deadline that has passed for every onlooker."""

BLIND_SECONDS = 30.0
"""Between two looks; when there were more, all that was seen is forgotten, and everybody gets the whole time anew."""


class LeaseWatch:
    """What one server has seen of the leases that have not ended.

    `looked_at` is when it last looked; `next_due` when the first of them is over, unless it changes (infinity: never).
    """

    def __init__(self, terms: LeaseTerms) -> None:
        self.looked_at = float("-inf")
        self.next_due = float("inf")
        self._terms = terms
        self._since: dict[Lease, float] = {}

    def note(self, lease: Lease, now: float) -> None:
        """This lease is new: its time begins before the first look at its row."""
        self._since[lease] = now
        self.next_due = min(self.next_due, self._due_at(lease))

    def look(self, leases: Iterable[Lease], now: float) -> list[Lease]:
        """Those of `leases`, all that have not ended and as they stand at `now`, that are over."""
        known = {} if now - self.looked_at > BLIND_SECONDS else self._since
        self._since = {lease: known.get(lease, now) for lease in leases}
        self.looked_at = now
        self.next_due = min(map(self._due_at, self._since), default=float("inf"))
        return [lease for lease in self._since if self._due_at(lease) <= now]

    def _due_at(self, lease: Lease) -> float:
        if lease.deadline == OVER:
            return float("-inf")
        is_offer = lease.state is LeaseState.OFFERED
        return self._since[lease] + (self._terms.offer_seconds if is_offer else self._terms.grace_seconds)
