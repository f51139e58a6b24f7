"""Rates of requests: a token bucket each caller. The buckets of one server process; two servers allow twice as much.

Answers say how it stands (draft-ietf-httpapi-ratelimit-headers): `RateLimit-Policy` and `RateLimit`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from agent.clock import Clock

_MOST_CALLERS = 10_000  # remembered at a time; beyond that the one that was quiet longest starts afresh


@dataclass(frozen=True, slots=True)
class RateState:
    """How a caller stands after a request: `retry_seconds` above 0 when it was one too many."""

    policy: str
    burst: int
    per_second: float
    remaining: int
    retry_seconds: int

    @property
    def headers(self) -> Mapping[str, str]:
        """What the answer says of it."""
        window = math.ceil(self.burst / self.per_second)
        reset = math.ceil((self.burst - self.remaining) / self.per_second)
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.burst};w={window}',
            "RateLimit": f'"{self.policy}";r={self.remaining};t={reset}',
        }


class Rates:
    """Token buckets by caller: `burst` requests at once, `per_second` in the long run; 0: no limit."""

    def __init__(self, clock: Clock, per_second: float, burst: int) -> None:
        self._clock = clock
        self._per_second = per_second
        self._burst = burst
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, policy: str, caller: str) -> RateState | None:
        """Count one request of `caller`, whose kind is `policy`; None when there is no limit."""
        if self._per_second <= 0 or self._burst <= 0:
            return None
        now = self._clock.monotonic()
        name = f"{policy}:{caller}"
        level, seen = self._buckets.pop(name, (float(self._burst), now))
        level = min(level + max(now - seen, 0.0) * self._per_second, float(self._burst))
        is_allowed = level >= 1
        level = level - 1 if is_allowed else level
        self._buckets[name] = (level, now)
        if len(self._buckets) > _MOST_CALLERS:
            del self._buckets[next(iter(self._buckets))]
        retry = 0 if is_allowed else max(1, math.ceil((1 - level) / self._per_second))
        return RateState(policy, self._burst, self._per_second, int(level), retry)
