"""The ledger of a flow: what was brought and is not settled, and what has come of it since somebody asked last."""

from collections.abc import Sequence

from agent.job.stages.delivery.batches import Batch, DeadLetter
from agent.job.stages.delivery.settling import Lane, Origin
from agent.job.stages.stage import StreamPosition, Value


class Ledger:
    """Lanes and their origins, and what is to be told: dead letters, settled positions, watched records that have ended."""

    def __init__(self) -> None:
        self.lanes: dict[tuple[str, str], Lane] = {}
        self._count = 0  # of origins
        self._settled: dict[Lane, Origin] = {}
        self._dead: list[DeadLetter] = []
        self._ended: list[Origin] = []

    @property
    def is_empty(self) -> bool:
        """Whether all has settled."""
        return all(lane.is_settled for lane in self.lanes.values())

    def begin(self, trigger: str, position: StreamPosition, now: float) -> Origin:
        """The next origin of a lane."""
        lane = self.lanes.get((trigger, position.lane))
        if lane is None:
            lane = self.lanes[trigger, position.lane] = Lane(trigger, position.lane)
        self._count += 1
        return lane.begin(position.at, now, self._count)

    def let_go(self, origins: tuple[Origin, ...]) -> None:
        """A batch of these origins is not on its way any more."""
        for origin in origins:
            origin.open -= 1
            if origin.open == 0:
                if origin.passages is not None:
                    self._ended.append(origin)
                settled = origin.lane.end(origin)
                if settled is not None:
                    self._settled[origin.lane] = settled

    def bury(self, batch: Batch, places: Sequence[int], cause: str, now: float) -> None:
        """Records of a batch are dead letters. One of a zip's has several origins, and the first one's name."""
        origin = batch.origins[0]
        self._dead += [
            DeadLetter(
                batch.values[place],
                batch.stage,
                cause,
                batch.attempts + 1,
                origin.lane.trigger,
                origin.lane.name,
                origin.at,
                origin.began,
                now,
                batch.path,
            )
            for place in places
        ]

    def bury_raw(self, origin: Origin, raw: Value, cause: str, now: float) -> None:
        """What a trigger got is no record."""
        trigger, lane = origin.lane.trigger, origin.lane.name
        self._dead.append(DeadLetter(raw, trigger, cause, 1, trigger, lane, origin.at, now, now, ()))

    def take_settled(self) -> list[tuple[str, StreamPosition]]:
        """How far lanes are settled that have got further."""
        settled = [
            (lane.trigger, StreamPosition(lane.name, origin.at)) for lane, origin in self._settled.items()
        ]
        self._settled.clear()
        return settled

    def take_dead(self) -> list[DeadLetter]:
        """Records that ended as dead letters. What they were on the way of is settled with them: keep them before that is told."""
        dead, self._dead = self._dead, []
        return dead

    def take_ended(self) -> list[Origin]:
        """Watched records of which nothing is on its way any more."""
        ended, self._ended = self._ended, []
        return ended
