"""FiguresOfStages of a running flow: durations of all records in buckets, and errors, said without a line a record."""

import bisect
import time
from collections.abc import Callable, Iterable

BUCKETS = (0.01, 0.1, 0.5, 1.0, 10.0, 60.0)  # seconds; the last one is beyond all
_SAY_SECONDS = 10.0  # between two times that the same error is said


class StageFigures:
    """Durations of one stage, cumulative as histograms are."""

    __slots__ = ("counts", "said", "silent", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0
        self.said: dict[str, float] = {}
        self.silent = 0  # failures that were not said

    @property
    def buckets(self) -> dict[str, int]:
        """Records that took at most so many seconds."""
        found, total = {}, 0
        for bound, count in zip((*(f"{bound:g}" for bound in BUCKETS), "+Inf"), self.counts, strict=True):
            total += count
            found[bound] = total
        return found


class FiguresOfStages:
    """Of all stages."""

    def __init__(self, stages: Iterable[str]) -> None:
        self.stages = {name: StageFigures() for name in stages}

    def note(self, stage: str, records: int, seconds: float) -> None:
        """So many records took so long, together."""
        figures = self.stages[stage]
        figures.counts[bisect.bisect_left(BUCKETS, seconds)] += records
        figures.sum += seconds * records

    def say_error(self, stage: str, error: str, records: int, say: Callable[[str], None]) -> None:
        """Say a failure, each kind of it once in a while."""
        figures, now = self.stages[stage], time.monotonic()
        if now - figures.said.get(error, -_SAY_SECONDS) < _SAY_SECONDS:
            figures.silent += records
            return
        if len(figures.said) >= 100:
            figures.said.clear()
        figures.said[error] = now
        more = f" ({figures.silent} more failures since the last word)" if figures.silent else ""
        figures.silent = 0
        say(f"{records} record{'s' if records > 1 else ''} failed: {error}{more}")
