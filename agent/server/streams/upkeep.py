"""The upkeep of a deployment: what is to be done for it, from how it and its runs stand. Pure.

| a run | is |
| --- | --- |
| of an older generation, or of a place too many | asked to end: it drains |
| on an agent that takes no new jobs (it is drained, or upgraded) | asked to end, and follows elsewhere |
| with a log as long as one may be (`deployments.MOST_LOG_BYTES`) | asked to end, and follows |
| over, of a place that is wanted | followed by another, after a rest |

A place rests after its run has ended: `FIRST_REST_SECONDS`, twice as long after each that follows, `LONGEST_REST_SECONDS` at most; a
run that went well for `WELL_SECONDS` makes the rest short again. One that was asked to end by this table is followed at once.

A flow that may not be at work twice (`agent.spec.stages.ALONE`) has its next run when all others have ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.server.store.deployments import DeploymentRow, ReplicaRow, ReplicaRun
from agent.spec.status import RunStatus

FIRST_REST_SECONDS = 1.0
LONGEST_REST_SECONDS = 300.0
WELL_SECONDS = 600.0
_LOOK_SECONDS = 60.0  # while runs drain: a word that went astray is said again

REDEPLOYED = "a newer generation of its deployment takes over"
UNDEPLOYED = "its flow was undeployed"
TOO_MANY = "its deployment has fewer replicas now"
OUTGROWN = "its log is as long as one may be: a new run goes on"
LEAVING = "its agent takes no new jobs: the deployment goes on elsewhere"


@dataclass(frozen=True, slots=True)
class CancelRun:
    """A run is to drain."""

    run: int
    reason: str


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What is to be done, in this order. `due_at`: when to look again, whatever happens; None: never."""

    ended: tuple[int, ...] = ()  # runs from whose end this follows
    places: tuple[ReplicaRow, ...] = ()  # as they stand after that
    cancels: tuple[CancelRun, ...] = ()
    starts: tuple[int, ...] = ()  # places that get a run
    is_over: bool = False  # the deployment is undeployed, and all has ended
    due_at: float | None = None


def plan_upkeep(
    row: DeploymentRow, runs: Sequence[ReplicaRun], known: Sequence[ReplicaRow], now: float
) -> Upkeep:
    """What is to be done for a deployment; `runs` are those from whose end nothing has followed yet."""
    places = {number: ReplicaRow(number) for number in range(row.replicas)}
    places |= {place.number: place for place in known if place.number < row.replicas}
    over = [run for run in runs if run.status is RunStatus.COMPLETED]
    live = [run for run in runs if run.status is not RunStatus.COMPLETED]
    changed: dict[int, ReplicaRow] = {}
    for run in over:
        if run.replica in places and run.generation == row.generation:
            changed[run.replica] = places[run.replica] = _rest(places[run.replica], run, now)
    cancels = tuple(
        CancelRun(run.run, reason)
        for run in live
        if run.cancel_reason is None and (reason := _explain_end(row, run))
    )
    taken = {run.replica for run in live if run.generation == row.generation}
    if row.is_alone and live:
        taken = set(places)
    waiting = [place for number, place in places.items() if number not in taken]
    starts = tuple(place.number for place in waiting if place.due_at is None or place.due_at <= now)
    later = [place.due_at for place in waiting if place.due_at is not None and place.due_at > now]
    if cancels or any(run.cancel_reason is not None for run in live):
        later.append(now + _LOOK_SECONDS)
    return Upkeep(
        ended=tuple(run.run for run in over),
        places=tuple(changed.values()),
        cancels=cancels,
        starts=starts,
        is_over=row.replicas == 0 and not live,
        due_at=min(later, default=None),
    )


def _explain_end(row: DeploymentRow, run: ReplicaRun) -> str:
    """Why a run is to end; empty: it is not."""
    if row.replicas == 0:
        return UNDEPLOYED
    if run.generation != row.generation:
        return REDEPLOYED
    if run.replica >= row.replicas:
        return TOO_MANY
    return LEAVING if run.is_leaving else OUTGROWN if run.has_outgrown else ""


def _rest(place: ReplicaRow, run: ReplicaRun, now: float) -> ReplicaRow:
    """How long the place of a run that has ended rests."""
    seconds = 0.0 if run.begun_at is None or run.ended_at is None else run.ended_at - run.begun_at
    if run.cancel_reason in (LEAVING, OUTGROWN):
        return replace(place, due_at=None, message=run.cancel_reason)
    failures = 1 if seconds >= WELL_SECONDS else place.failures + 1
    rest = min(LONGEST_REST_SECONDS, FIRST_REST_SECONDS * 2.0 ** min(failures - 1, 32))
    word = run.cancel_reason or f"it ended: {run.conclusion}"
    return replace(
        place, failures=failures, due_at=now + rest, message=f"run {run.run}: {word}; again in {rest:.0f} s"
    )
