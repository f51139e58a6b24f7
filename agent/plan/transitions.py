"""The life of a job in a run, as a table.

    HELD ──gate──> GATED ──group──> GROUPED ──queue──> QUEUED ──start──> RUNNING
      every arrow may be left out: HELD and GATED go on to GROUPED, QUEUED or CALLING as well
    GROUPED ──call──> CALLING           another flow runs in its place
    QUEUED, RUNNING ──rest──> RESTING ──queue──> QUEUED            a retry
    any ──end──> ENDED                  a terminal state wins: nothing leads out of it but a re-run of the run

Starting a running job again, and anything that reaches an ended one, changes nothing: events may come twice or late.
"""

from enum import StrEnum

from agent.plan.state import JobPhase


class Move(StrEnum):
    """What can be done with a job."""

    GATE = "gate"
    GROUP = "group"
    QUEUE = "queue"
    CALL = "call"
    START = "start"
    REST = "rest"
    END = "end"


TRANSITIONS: dict[tuple[JobPhase, Move], JobPhase] = {
    (JobPhase.HELD, Move.GATE): JobPhase.GATED,
    (JobPhase.HELD, Move.GROUP): JobPhase.GROUPED,
    (JobPhase.HELD, Move.QUEUE): JobPhase.QUEUED,
    (JobPhase.HELD, Move.CALL): JobPhase.CALLING,
    (JobPhase.HELD, Move.END): JobPhase.ENDED,
    (JobPhase.GATED, Move.GROUP): JobPhase.GROUPED,
    (JobPhase.GATED, Move.QUEUE): JobPhase.QUEUED,
    (JobPhase.GATED, Move.END): JobPhase.ENDED,
    (JobPhase.GROUPED, Move.GROUP): JobPhase.GROUPED,
    (JobPhase.GROUPED, Move.QUEUE): JobPhase.QUEUED,
    (JobPhase.GROUPED, Move.CALL): JobPhase.CALLING,
    (JobPhase.GROUPED, Move.END): JobPhase.ENDED,
    (JobPhase.QUEUED, Move.START): JobPhase.RUNNING,
    (JobPhase.QUEUED, Move.REST): JobPhase.RESTING,
    (JobPhase.QUEUED, Move.END): JobPhase.ENDED,
    (JobPhase.RUNNING, Move.START): JobPhase.RUNNING,
    (JobPhase.RUNNING, Move.REST): JobPhase.RESTING,
    (JobPhase.RUNNING, Move.END): JobPhase.ENDED,
    (JobPhase.CALLING, Move.END): JobPhase.ENDED,
    (JobPhase.RESTING, Move.QUEUE): JobPhase.QUEUED,
    (JobPhase.RESTING, Move.END): JobPhase.ENDED,
    (JobPhase.ENDED, Move.START): JobPhase.ENDED,
    (JobPhase.ENDED, Move.END): JobPhase.ENDED,
}


def next_phase(phase: JobPhase, move: Move) -> JobPhase:
    """Where `move` leads from `phase`. Raises ValueError for a move that the table does not have: a bug of ours."""
    try:
        return TRANSITIONS[phase, move]
    except KeyError:
        raise ValueError(f"a job that is {phase} can't {move}") from None
