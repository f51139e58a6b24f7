"""States of records at a stage: a batch of them is in one state, and parts where its records part.

accepted            --keep--> buffered    there is room: credit was asked before
accepted, retried   --refuse--> retried   a zip's queue is full: its sender keeps them, and tries again
buffered            --take--> started
started             --finish--> done
started             --fail--> failed
failed              --wait--> retried     by the stage's `retry`
failed              --end--> dead         for good, or the last attempt
retried             --keep--> buffered
retried, buffered   --end--> dead         nothing can come any more that they wait for
"""

from enum import StrEnum
from typing import NamedTuple

from agent.states import Transitions


class RecordState(StrEnum):
    """How a record stands at a stage."""

    ACCEPTED = "accepted"
    BUFFERED = "buffered"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    RETRIED = "retried"
    DEAD = "dead"


class RecordEvent(StrEnum):
    """What happens to it."""

    KEEP = "keep"
    REFUSE = "refuse"
    TAKE = "take"
    FINISH = "finish"
    FAIL = "fail"
    WAIT = "wait"
    END = "end"


_S, _E = RecordState, RecordEvent

TRANSITIONS = {
    (_S.ACCEPTED, _E.KEEP): _S.BUFFERED,
    (_S.ACCEPTED, _E.REFUSE): _S.RETRIED,
    (_S.BUFFERED, _E.TAKE): _S.STARTED,
    (_S.STARTED, _E.FINISH): _S.DONE,
    (_S.STARTED, _E.FAIL): _S.FAILED,
    (_S.FAILED, _E.WAIT): _S.RETRIED,
    (_S.FAILED, _E.END): _S.DEAD,
    (_S.RETRIED, _E.KEEP): _S.BUFFERED,
    (_S.RETRIED, _E.REFUSE): _S.RETRIED,
    (_S.RETRIED, _E.END): _S.DEAD,
    (_S.BUFFERED, _E.END): _S.DEAD,
}
RECORDS = Transitions.of_events("record at a stage", frozenset({_S.ACCEPTED}), TRANSITIONS)


class Passage(NamedTuple):
    """Records were at a stage. Times in seconds."""

    stage: str
    state: RecordState
    began: float
    seconds: float
    attempts: int
    error: str = ""
