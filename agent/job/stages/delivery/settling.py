"""Settlement: a lane at a time, in the order of its positions.

A lane is a chain of its origins that are not settled. Those that are done wait for those before them; two neighbours that are
done become one, so that a chain is never longer than twice what is still on its way.
"""

from agent.job.stages.delivery.states import Passage
from agent.job.stages.stage import Value


class Origin:
    """What a trigger handed on at once: it is settled when nothing that came of it is on its way.

    `open` counts the batches that do; `before` and `after` are its neighbours in its lane.
    """

    __slots__ = ("after", "at", "before", "began", "is_told", "lane", "number", "open", "passages", "sample")

    def __init__(self, lane: "Lane", at: object, began: float, number: int) -> None:
        self.lane = lane
        self.at = at
        self.began = began
        self.number = number  # in its flow
        self.is_told = True  # False: it is settled only with the one after it, whose position it has
        self.open = 0
        self.before: Origin | None = None
        self.after: Origin | None = None
        self.passages: list[Passage] | None = None  # of a record that is watched
        self.sample: Value = None


class Lane:
    """An order of its own of a trigger."""

    __slots__ = ("_first", "_last", "name", "trigger")

    def __init__(self, trigger: str, name: str) -> None:
        self.trigger = trigger
        self.name = name
        self._first: Origin | None = None
        self._last: Origin | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing of it is on its way."""
        return self._first is None

    def __len__(self) -> int:
        count, origin = 0, self._first
        while origin is not None:
            count, origin = count + 1, origin.after
        return count

    def begin(self, at: object, now: float, number: int) -> Origin:
        """The next origin, up to the position `at`."""
        origin = Origin(self, at, now, number)
        origin.before = self._last
        if self._last is None:
            self._first = origin
        else:
            self._last.after = origin
        self._last = origin
        return origin

    def end(self, origin: Origin) -> Origin | None:
        """Nothing of `origin` is on its way any more: the last one with a position that is settled thereby, if any is."""
        if origin is not self._first:
            before, after = origin.before, origin.after
            if before is not None and before.open == 0:
                self._unlink(before)
            if after is not None and after.open == 0:
                self._unlink(origin)
            return None
        told: Origin | None = None
        following: Origin | None = origin
        while following is not None and following.open == 0:
            self._unlink(following)
            told = following if following.is_told else told
            following = following.after
        return told

    def _unlink(self, origin: Origin) -> None:
        before, after = origin.before, origin.after
        if before is None:
            self._first = after
        else:
            before.after = after
        if after is None:
            self._last = before
        else:
            after.before = before
