"""Usage of projects lately: their dominant share of the fleet over time, halved every hour.

The dominant share of a job is the largest of its shares of all slots, cores, memory and GPUs (Ghodsi et al., *Dominant
Resource Fairness*, NSDI 2011); that usage fades by half-lives and is weighed is Slurm's classic fair share.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.server.agents.scheduler.model import Holding, ReadyAgent
from agent.spec.request import ResourceRequest

HALF_LIFE_SECONDS = 3600.0
START_SECONDS = 60.0  # what a job counts for as soon as it starts: nobody knows yet how long it will take


@dataclass(frozen=True, slots=True)
class Capacity:
    """All that there is to be shared."""

    slots: int
    cpus: float
    memory_bytes: int
    gpus: int

    @classmethod
    def of(cls, agents: Sequence[ReadyAgent]) -> "Capacity":
        """What these agents have together."""
        return cls(
            sum(agent.slots for agent in agents),
            sum(agent.cpus for agent in agents),
            sum(agent.memory_bytes for agent in agents),
            sum(len(agent.gpus) for agent in agents),
        )

    def dominant_share(self, request: ResourceRequest, gpus: int) -> float:
        """The largest of the shares that a job has of anything, 0 to 1."""
        shares = (
            (1, self.slots),
            (request.cpus, self.cpus),
            (request.memory_bytes, self.memory_bytes),
            (gpus, self.gpus),
        )
        return max((part / whole for part, whole in shares if whole), default=0.0)


class Usage:
    """Share-seconds by project, as of the time of the last `advance`."""

    def __init__(self, now: float, seconds: Mapping[int, float] | None = None) -> None:
        self._now = now
        self._seconds = dict(seconds or {})

    def advance(self, now: float, holdings: Iterable[Holding], capacity: Capacity) -> None:
        """Time went by, during which `holdings` were held; what was before fades."""
        elapsed = max(0.0, now - self._now)
        self._now = max(now, self._now)
        fading = 0.5 ** (elapsed / HALF_LIFE_SECONDS)
        self._seconds = {
            project: used * fading for project, used in self._seconds.items() if used * fading > 1e-9
        }
        for holding in holdings:
            share = capacity.dominant_share(holding.request, len(holding.gpus))
            self.add(holding.project, share * elapsed)

    def count_start(self, project: int, share: float) -> None:
        """A job of the project begins, with this dominant share."""
        self.add(project, share * START_SECONDS)

    def add(self, project: int, seconds: float) -> None:
        """Count share-seconds."""
        self._seconds[project] = self._seconds.get(project, 0.0) + seconds

    def of(self, project: int) -> float:
        """What the project has used lately."""
        return self._seconds.get(project, 0.0)
