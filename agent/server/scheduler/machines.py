"""What an agent has left, and when it will have more."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agent.server.scheduler.model import FOREVER, Holding, ReadyAgent, Shape, WaitingJob
from agent.spec.request import GpuRequest, Request, matches
from agent.spec.resources import Gpu

_ROUNDING = 1e-9  # cores are fractions, and fractions add up badly


@dataclass(frozen=True, slots=True)
class Reservation:
    """A machine is kept for `job`, which can begin there at `at` when all that runs lasts as long as it may."""

    job: WaitingJob
    at: float


class Room:
    """Free slots, cores, memory and GPUs of one machine."""

    __slots__ = ("cpus", "gpus", "memory_bytes", "slots")

    def __init__(self, slots: int, cpus: float, memory_bytes: int, gpus: dict[str, Gpu]) -> None:
        self.slots = slots
        self.cpus = cpus
        self.memory_bytes = memory_bytes
        self.gpus = gpus

    @classmethod
    def whole(cls, agent: ReadyAgent) -> "Room":
        """The machine with nothing on it."""
        return cls(agent.slots, agent.cpus, agent.memory_bytes, {gpu.uuid: gpu for gpu in agent.gpus})

    def copy(self) -> "Room":
        """The same room, to be changed apart."""
        return Room(self.slots, self.cpus, self.memory_bytes, dict(self.gpus))

    def holds(self, request: Request, gpus: GpuRequest) -> bool:
        """Whether there is room for this now."""
        return (
            self.slots >= 1
            and request.cpus <= self.cpus + _ROUNDING
            and request.memory_bytes <= self.memory_bytes
            and (not gpus.count or len(self.find_gpus(gpus)) == gpus.count)
        )

    def find_gpus(self, wanted: GpuRequest) -> tuple[str, ...]:
        """The smallest free GPUs that will do, at most as many as wanted: the big ones stay for who needs them."""
        if not wanted.count:
            return ()
        found = [gpu for gpu in self.gpus.values() if matches(wanted, gpu)]
        found.sort(key=lambda gpu: (gpu.memory_bytes or 0, gpu.index, gpu.uuid))
        return tuple(gpu.uuid for gpu in found[: wanted.count])

    def take(self, request: Request, gpus: Iterable[str]) -> None:
        """This is somebody's from now on."""
        self.slots -= 1
        self.cpus -= request.cpus
        self.memory_bytes -= request.memory_bytes
        for uuid in gpus:
            self.gpus.pop(uuid, None)

    def give_back(self, holding: Holding, machine: dict[str, Gpu]) -> None:
        """This is free again. A GPU that the machine does not have any more stays away."""
        self.slots += 1
        self.cpus += holding.request.cpus
        self.memory_bytes += holding.request.memory_bytes
        self.gpus.update((uuid, machine[uuid]) for uuid in holding.gpus if uuid in machine)


class Machine:
    """An agent during one round."""

    def __init__(self, agent: ReadyAgent, holdings: Sequence[Holding]) -> None:
        self.agent = agent
        self.holdings = list(holdings)
        self.kept: Reservation | None = None
        self._whole = Room.whole(agent)
        self.room = self._whole.copy()
        for holding in self.holdings:
            self.room.take(holding.request, holding.gpus)

    def is_big_enough(self, shape: Shape) -> bool:
        """Whether a job of this shape would have room if nothing else were here."""
        return self._whole.holds(shape.request, shape.gpus)

    def has_room(self, shape: Shape) -> bool:
        """Whether it has room now, whoever the machine is kept for."""
        return self.room.holds(shape.request, shape.gpus)

    def keeps_promise(self, shape: Shape, now: float) -> bool:
        """Whether a job that begins here now leaves to whom the machine is kept for what it was promised."""
        if self.kept is None or now + shape.limit_seconds <= self.kept.at:
            return True
        later = self.room.copy()
        later.take(shape.request, self.choose_gpus(shape))
        for holding in self.holdings:
            if holding.ends_at <= self.kept.at:
                later.give_back(holding, self._whole.gpus)
        promised = self.kept.job.shape
        return later.holds(promised.request, promised.gpus)

    def choose_gpus(self, shape: Shape) -> tuple[str, ...]:
        """Which GPUs a job of this shape gets here. With the machine to itself and nothing said it gets them all."""
        if shape.request.gpus is None and self.agent.slots == 1:
            return tuple(self.room.gpus)
        return self.room.find_gpus(shape.gpus)

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

    def free_at(self, shape: Shape, now: float) -> tuple[float, Holding | None]:
        """When there will be room at the latest, and whose end makes it; (now, None) when there is room."""
        if self.has_room(shape):
            return now, None
        room = self.room.copy()
        for holding in sorted(self.holdings, key=lambda held: (held.ends_at, held.job)):
            room.give_back(holding, self._whole.gpus)
            if room.holds(shape.request, shape.gpus):
                return max(holding.ends_at, now), holding
        return FOREVER, None
