"""Interruption: which running jobs make place for a waiting one that comes before them. Pure.

comes before    by its project's priority, in one project by its own; never at equal ones. In the queue, too, an interruptible
                job has its turn behind all that come before it in this sense (`order.py`): it is not given back what it
                has just made room for
may be asked    only jobs that say `interruptible: true` and run alone; of a job that was tried before, when it has run for
                COOLDOWN_SECONDS again
cheapest        on one machine, of all sets that leave enough room: the least work lost since the last checkpoints,
                and none that is not needed
once            while those who were asked are on their way out nobody else is asked for the same job
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from agent.server.agents.scheduler.machines import Candidate
from agent.server.agents.scheduler.model import Holding, Project, WaitingJob

COOLDOWN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Victims:
    """Jobs of one machine that make place together; `lost_seconds` of work, all of them together."""

    machine: Candidate
    holdings: tuple[Holding, ...]
    lost_seconds: float


def choose_victims(
    job: WaitingJob, machines: Sequence[Candidate], projects: Mapping[int, Project], now: float
) -> Victims | None:
    """The cheapest that make place for `job` on one of the `machines`; None: nobody may be asked, or it would not help.

    With no holdings in it: place is being made already, there.
    """
    found = [each for machine in machines if (each := _choose_on(job, machine, projects, now)) is not None]
    return min(
        found, key=lambda each: (each.lost_seconds, len(each.holdings), each.machine.agent.name), default=None
    )


def comes_before(job: WaitingJob, holding: Holding, projects: Mapping[int, Project]) -> bool:
    """Whether `job` may take the place of the one that holds it."""
    assert holding.stake is not None
    if job.shape.project == holding.project:
        return job.priority > holding.stake.priority
    return _priority(job.shape.project, projects) > _priority(holding.project, projects)


def _choose_on(
    job: WaitingJob, machine: Candidate, projects: Mapping[int, Project], now: float
) -> Victims | None:
    leaving = machine.leaving
    if machine.would_have_room(job.shape, leaving):
        return Victims(machine, (), 0.0)
    asked = [held for held in machine.holdings if _may_be_asked(job, held, projects, now)]
    asked.sort(key=lambda held: (_lost(held, now), held.job))
    chosen: list[Holding] = []
    for held in asked:
        chosen.append(held)
        if machine.would_have_room(job.shape, [*leaving, *chosen]):
            break
    else:
        return None
    needed = _leave_out_needless(job, machine, leaving, chosen)
    return Victims(machine, tuple(needed), sum(_lost(held, now) for held in needed))


def _leave_out_needless(
    job: WaitingJob, machine: Candidate, leaving: Sequence[Holding], chosen: Iterable[Holding]
) -> list[Holding]:
    """Without those whose room does not help; the dearest are left out first."""
    needed = list(chosen)
    for held in reversed(tuple(needed)):
        rest = [one for one in needed if one is not held]
        if machine.would_have_room(job.shape, [*leaving, *rest]):
            needed = rest
    return needed


def _may_be_asked(job: WaitingJob, held: Holding, projects: Mapping[int, Project], now: float) -> bool:
    stake = held.stake
    if stake is None or stake.is_leaving:
        return False
    if stake.is_again and now - stake.started_at < COOLDOWN_SECONDS:
        return False
    return comes_before(job, held, projects)


def _lost(held: Holding, now: float) -> float:
    assert held.stake is not None
    return max(0.0, now - held.stake.kept_at)


def _priority(project: int, projects: Mapping[int, Project]) -> int:
    found = projects.get(project)
    return 0 if found is None else found.priority
