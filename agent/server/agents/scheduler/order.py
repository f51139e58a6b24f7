"""The order of the queue: which job is next.

    1. one that has waited for half a day, first of its project, while the project had nothing or only later ones running
    2. of the projects with the highest priority
    3. of the project that has used the least lately for its weight
    4. the job that came first; a point of its own priority is worth ten minutes of waiting

4 is a queue in which a place is never lost, 3 comes round to everybody as use counts and fades. 1 is for those whom that
does not help, projects that higher ones shut out and jobs too big for the gaps: no job waits for ever behind others. A
long queue of a project's own is no reason: its first job has not been passed by.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from agent.server.agents.scheduler.model import Holding, Project, WaitingJob
from agent.server.agents.scheduler.usage import START_SECONDS, Capacity, Usage

OVERLOOKED_SECONDS = 12 * 3600.0
_FIRST = 1_000_000  # above all priorities


class Order:
    """Hands out the waiting jobs; `note_start` counts what they get, which decides who follows."""

    def __init__(
        self,
        jobs: Sequence[WaitingJob],
        projects: Mapping[int, Project],
        *,
        holdings: Sequence[Holding],
        usage: Usage,
        capacity: Capacity,
        now: float,
    ) -> None:
        self._projects = projects
        self._capacity = capacity
        self._now = now
        self._used: dict[int, float] = {}
        self._running: dict[int, int] = {}
        self._gpus: dict[int, int] = {}
        self._queues: dict[int, deque[WaitingJob]] = {}
        self._latest: dict[int, float] = {}
        for holding in holdings:
            self._count(holding.project, 1, len(holding.gpus), holding.ranked_at)
        for job in _sort(jobs):
            project = job.shape.project
            self._queues.setdefault(project, deque()).append(job)
            self._used.setdefault(project, usage.of(project))

    def __iter__(self) -> Iterator[WaitingJob]:
        while self._queues:
            project = min(self._queues, key=self._key)
            queue = self._queues[project]
            yield queue.popleft()
            if not queue:
                del self._queues[project]

    def project(self, number: int) -> Project:
        """The project's claim."""
        return self._projects.get(number) or Project(number)

    def running(self, project: int) -> int:
        """How many seats the project has now."""
        return self._running.get(project, 0)

    def gpus(self, project: int) -> int:
        """How many GPUs the project has now."""
        return self._gpus.get(project, 0)

    def note_start(self, job: WaitingJob, gpus: int) -> None:
        """`job` starts with so many GPUs on all of its nodes."""
        shape = job.shape
        share = self._capacity.dominant_share(shape.request, gpus // shape.nodes) * shape.nodes
        self._used[shape.project] += share * START_SECONDS
        self._count(shape.project, shape.nodes, gpus, job.rank)

    def note_return(self, job: WaitingJob, gpus: int) -> None:
        """`job`, which has started long ago, has its room again."""
        self._count(job.shape.project, 1, gpus, job.rank)

    def _count(self, project: int, seats: int, gpus: int, rank: float) -> None:
        self._latest[project] = max(self._latest.get(project, rank), rank)
        self._running[project] = self.running(project) + seats
        self._gpus[project] = self.gpus(project) + gpus

    def _key(self, number: int) -> tuple[object, ...]:
        project, first = self.project(number), self._queues[number][0]
        waited = self._now - first.queued_at
        was_passed = not self.running(number) or self._latest[number] > first.rank
        is_overlooked = was_passed and waited >= OVERLOOKED_SECONDS
        return (
            (not is_overlooked, first.queued_at if is_overlooked else 0.0),
            -project.priority,
            self._used[number] / project.weight,
            first.rank,
            number,
        )


def _sort(jobs: Sequence[WaitingJob]) -> list[WaitingJob]:
    """By rank; equal ranks stay as they were given. An interruptible job comes behind those of its project that would interrupt it."""
    latest: dict[int, dict[int, float]] = {}
    for job in jobs:
        ranks = latest.setdefault(job.shape.project, {})
        ranks[job.priority] = max(ranks.get(job.priority, job.rank), job.rank)

    def place(job: WaitingJob) -> tuple[float, int]:
        if not job.is_interruptible:
            return (job.rank, -_FIRST)
        ranks = latest[job.shape.project]
        behind = [rank for priority, rank in ranks.items() if priority > job.priority]
        return (max((job.rank, *behind)), -job.priority)

    return sorted(jobs, key=place)
