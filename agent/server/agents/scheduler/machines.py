"""Candidates: what an agent has left, and when it will have more."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.server.agents.scheduler.model import FOREVER, Holding, JobShape, ReadyAgent, WaitingJob
from agent.spec.request import GpuRequest, wanted_gpus
from agent.spec.room import Room


@dataclass(frozen=True, slots=True)
class Reservation:
    """A machine is kept for `job`, which can begin there at `at` when all that runs lasts as long as it may."""

    job: WaitingJob
    at: float


class Candidate:
    """An agent during one round."""

    def __init__(self, agent: ReadyAgent, holdings: Sequence[Holding]) -> None:
        self.agent = agent
        self.holdings = list(holdings)
        self.kept: Reservation | None = None
        gpus = {gpu.uuid: gpu for gpu in agent.gpus}
        self._whole = Room(
            agent.slots, agent.cpus, agent.memory_bytes, gpus, agent.links, has_queue=agent.has_queue
        )
        self._wanted: dict[JobShape, GpuRequest] = {}
        self.room = self._whole.copy()
        for holding in self.holdings:
            self.room.take(holding.request, holding.gpus)

    def wanted(self, shape: JobShape) -> GpuRequest:
        """The GPUs that a job of this shape asks for here: what a label asks for follows from what the machine has."""
        if shape not in self._wanted:
            self._wanted[shape] = wanted_gpus(shape.request, shape.labels, self.agent.gpus)
        return self._wanted[shape]

    def is_big_enough(self, shape: JobShape) -> bool:
        """Whether a job of this shape would have room if nothing else were here."""
        return self._whole.holds(shape.request, self.wanted(shape))

    def has_room(self, shape: JobShape) -> bool:
        """Whether it has room now, whoever the machine is kept for."""
        return self.room.holds(shape.request, self.wanted(shape))

    @property
    def leaving(self) -> list[Holding]:
        """Those that were told to make place, and have not ended yet."""
        return [held for held in self.holdings if held.stake is not None and held.stake.is_leaving]

    def would_have_room(self, shape: JobShape, without: Sequence[Holding]) -> bool:
        """Whether it would have room if these of its holdings were gone."""
        room = self.room.copy()
        for holding in without:
            room.give_back(holding.request, holding.gpus, self._whole.gpus)
        return room.holds(shape.request, self.wanted(shape))

    def keeps_promise(self, shape: JobShape, now: float) -> bool:
        """Whether a job that begins here now leaves to whom the machine is kept for what it was promised."""
        if self.kept is None or now + shape.limit_seconds <= self.kept.at:
            return True
        later = self.room.copy()
        later.take(shape.request, self.choose_gpus(shape))
        for holding in self.holdings:
            if holding.ends_at <= self.kept.at:
                later.give_back(holding.request, holding.gpus, self._whole.gpus)
        promised = self.kept.job.shape
        return later.holds(promised.request, self.wanted(promised))

    def choose_gpus(self, shape: JobShape) -> tuple[str, ...]:
        """Which GPUs a job of this shape gets here. With the machine to itself and nothing said it gets them all."""
        if shape.request.gpus is None and self.agent.slots == 1 and not self.agent.has_queue:
            return tuple(self.room.gpus)
        return self.room.find_gpus(self.wanted(shape))

    def seat(self, job: WaitingJob, gpus: tuple[str, ...], now: float) -> None:
        """`job` begins here now."""
        self.room.take(job.shape.request, gpus)
        ends_at = now + job.shape.limit_seconds
        self.holdings.append(
            Holding(
                job.id,
                self.agent.id,
                job.title,
                job.shape.project,
                job.shape.request,
                gpus,
                ends_at,
                job.rank,
            )
        )

    def free_at(self, shape: JobShape, now: float) -> tuple[float, Holding | None]:
        """When there will be room at the latest, and whose end makes it; (now, None) when there is room."""
        if self.has_room(shape):
            return now, None
        room = self.room.copy()
        for holding in sorted(self.holdings, key=lambda held: (held.ends_at, held.job)):
            room.give_back(holding.request, holding.gpus, self._whole.gpus)
            if room.holds(shape.request, self.wanted(shape)):
                return max(holding.ends_at, now), holding
        return FOREVER, None
