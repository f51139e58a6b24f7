"""The life of a job in a run, as a table.

    HELD ──queue──> QUEUED ──start──> RUNNING
      └──────end──────┴────────end───────┴──> ENDED      (a terminal state wins: nothing leads out of it)

Starting a running job again, and anything that reaches an ended one, changes nothing: events may come twice or late.
"""

from enum import StrEnum

from agent.plan.state import JobPhase


class Move(StrEnum):
    """What can be done with a job."""

    QUEUE = "queue"
    START = "start"
    END = "end"


TRANSITIONS: dict[tuple[JobPhase, Move], JobPhase] = {
    (JobPhase.HELD, Move.QUEUE): JobPhase.QUEUED,
    (JobPhase.HELD, Move.END): JobPhase.ENDED,
    (JobPhase.QUEUED, Move.START): JobPhase.RUNNING,
    (JobPhase.QUEUED, Move.END): JobPhase.ENDED,
    (JobPhase.RUNNING, Move.START): JobPhase.RUNNING,
    (JobPhase.RUNNING, Move.END): JobPhase.ENDED,
    (JobPhase.ENDED, Move.START): JobPhase.ENDED,
    (JobPhase.ENDED, Move.END): JobPhase.ENDED,
}


def next_phase(phase: JobPhase, move: Move) -> JobPhase:
    """Where `move` leads from `phase`. Raises ValueError for a move that the table does not have: a bug of ours."""
    try:
        return TRANSITIONS[phase, move]
    except KeyError:
        raise ValueError(f"a job that is {phase} can't {move}") from None
