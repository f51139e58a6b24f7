"""The life of a job in a run, as a table.

    held --gate--> gated                                   its environment does not let it pass yet
    held, gated, grouped --group--> grouped                a job may have several groups to enter
    held, gated, grouped, resting --queue--> queued
    held, grouped --call--> calling                        another flow runs in its place
    queued --start--> running
    queued, running --rest--> resting                      it failed, and is tried again later
    held, gated, grouped, queued, running, calling, resting --end--> ended

    events may come twice or late, and change nothing then:
    running --start--> running    ended --start--> ended    ended --end--> ended

A terminal state wins: nothing leads out of it but a re-run of the run, which makes its jobs anew.
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
