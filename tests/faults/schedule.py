"""What goes wrong, where and when: drawn from a seed, so that a seed is a schedule. Pure.

Moments are amounts of work: so many bytes more have come into journals or over lines. The machine's pace does not matter.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

_JUMPS_SECONDS = (-86_400, -90, 90, 2_400)  # the last one by more than the grace of leases
_LEAST_BYTES, _MOST_BYTES = 50, 60_000


class Kind(StrEnum):
    """What may go wrong."""

    KILL_SERVER = "kill server"
    KILL_DAEMON = "kill daemon"
    KILL_BOTH = "kill both"
    KILL_SUPERVISOR = "kill supervisor"
    CRASH_DATABASE = "crash database"
    STOP_SERVER = "stop server"
    STOP_DAEMON = "stop daemon"
    CUT = "cut"
    HALF_OPEN = "half-open"
    SILENCE = "silence"
    DRIP = "drip"
    LATENESS = "lateness"
    OUTAGE = "outage"
    FULL_AGENT = "full disk of agent"
    FULL_SERVER = "full disk of server"
    JUMP_AGENT = "clock of agent"
    JUMP_SERVER = "clock of server"


KILLS = {
    Kind.KILL_SERVER: 5,
    Kind.KILL_DAEMON: 4,
    Kind.KILL_BOTH: 2,
    Kind.KILL_SUPERVISOR: 2,
    Kind.CRASH_DATABASE: 2,
}
"""With how often each is drawn."""

OTHERS = {
    Kind.STOP_SERVER: 2,
    Kind.STOP_DAEMON: 2,
    Kind.CUT: 6,
    Kind.HALF_OPEN: 2,
    Kind.SILENCE: 2,
    Kind.DRIP: 2,
    Kind.LATENESS: 1,
    Kind.OUTAGE: 2,
    Kind.FULL_AGENT: 2,
    Kind.FULL_SERVER: 2,
    Kind.JUMP_AGENT: 2,
    Kind.JUMP_SERVER: 2,
}


@dataclass(frozen=True)
class Fault:
    """`kind` happens to `agent` (where it is about one) after so many bytes of work, and holds for so many.

    A clock that jumps is wrong by `seconds` meanwhile.
    """

    kind: Kind
    agent: str
    after_bytes: int
    holds_bytes: int
    seconds: int

    def __str__(self) -> str:
        whom = f" {self.agent}" if "server" not in self.kind and "database" not in self.kind else ""
        by = f" by {self.seconds} s" if "clock" in self.kind else ""
        return f"{self.kind}{whom}{by} after {self.after_bytes} bytes, for {self.holds_bytes}"


def draw_faults(random: Random, agents: Sequence[str], without: frozenset[Kind]) -> Iterator[Fault]:
    """A schedule without end: two kills for each other fault; none of the kinds in `without`."""
    while True:
        kinds = KILLS if random.random() < 2 / 3 else OTHERS
        kind = _draw_kind(random, {kind: often for kind, often in kinds.items() if kind not in without})
        yield Fault(
            kind,
            random.choice(agents),
            _draw_bytes(random),
            _draw_bytes(random),
            random.choice(_JUMPS_SECONDS),
        )


def _draw_kind(random: Random, kinds: dict[Kind, int]) -> Kind:
    (kind,) = random.choices(list(kinds), list(kinds.values()))
    return kind


def _draw_bytes(random: Random) -> int:
    """Evenly over the orders of magnitude: beginnings are as likely as middles."""
    return round(math.exp(random.uniform(math.log(_LEAST_BYTES), math.log(_MOST_BYTES))))
