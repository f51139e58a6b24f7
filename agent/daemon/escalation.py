"""Escalation: how a job is brought to its end that was cancelled or whose time is over: asked, told, killed. Pure.

    stage      what was done                          when it is over                           and then
    asked      `cancel` on the control socket         answered: heard                           the supervisor ends the job
                                                      nobody listens: signalled                 SIGTERM
                                                      no answer for SILENT_SECONDS: told        SIGTERM, SIGCONT, asked again
    told       SIGTERM to who did not answer          answered: heard
                                                      no answer for SILENT_SECONDS: killed      SIGKILL to all of the job
    heard      the supervisor has answered            its time to cancel is over: killed
                                                      each CHECK_SECONDS: checked               asked again
    checked    asked whether it still answers         answered: heard
                                                      nobody listens: ending
                                                      no answer for 2 SILENT_SECONDS: killed    SIGKILL to all of the job
    ending     who has answered has closed its socket its time to cancel is over: killed
    signalled  SIGTERM to who has no socket any more  its time to cancel is over: killed
    killed     SIGKILL

Who answers, or has lost its socket and may well live, has the job's own `cancel-timeout-minutes` and a grace; who has a
socket and says nothing on it is stopped or spins, and has no claim to more than a minute: also when it did answer before. Beyond all that a job has a
deadline: its `timeout-minutes`, its time to cancel and a grace, for supervisors that do not end it themselves.
"""

from dataclasses import dataclass
from enum import StrEnum

SILENT_SECONDS = 10.0
CHECK_SECONDS = 10.0  # from one answer to the next question
GRACE_SECONDS = 180.0  # for post steps, containers and the owner's hook, beyond the time to cancel


class EscalationStage(StrEnum):
    """What was done last to a job that is to end."""

    ASKED = "asked"
    TOLD = "told"
    HEARD = "heard"
    CHECKED = "checked"
    ENDING = "ending"
    SIGNALLED = "signalled"
    KILLED = "killed"


class EscalationEvent(StrEnum):
    """What came of it."""

    ANSWERED = "answered"
    ABSENT = "absent"  # nobody listens on the control socket
    DUE = "due"  # the stage's time is over


class Measure(StrEnum):
    """What is to be done."""

    ASK = "ask"
    TELL = "tell"
    TELL_AND_ASK = "tell and ask"
    KILL = "kill"


_NEXT: dict[tuple[EscalationStage, EscalationEvent], tuple[EscalationStage, Measure | None]] = {
    (EscalationStage.ASKED, EscalationEvent.ANSWERED): (EscalationStage.HEARD, None),
    (EscalationStage.ASKED, EscalationEvent.ABSENT): (EscalationStage.SIGNALLED, Measure.TELL),
    (EscalationStage.ASKED, EscalationEvent.DUE): (EscalationStage.TOLD, Measure.TELL_AND_ASK),
    (EscalationStage.TOLD, EscalationEvent.ANSWERED): (EscalationStage.HEARD, None),
    (EscalationStage.TOLD, EscalationEvent.DUE): (EscalationStage.KILLED, Measure.KILL),
    (EscalationStage.HEARD, EscalationEvent.DUE): (EscalationStage.CHECKED, Measure.ASK),
    (EscalationStage.CHECKED, EscalationEvent.ANSWERED): (EscalationStage.HEARD, None),
    (EscalationStage.CHECKED, EscalationEvent.ABSENT): (EscalationStage.ENDING, None),
    (EscalationStage.CHECKED, EscalationEvent.DUE): (EscalationStage.KILLED, Measure.KILL),
    (EscalationStage.ENDING, EscalationEvent.DUE): (EscalationStage.KILLED, Measure.KILL),
    (EscalationStage.SIGNALLED, EscalationEvent.DUE): (EscalationStage.KILLED, Measure.KILL),
}


# How long a stage lasts at most; who is heard, ending or signalled has what is left of the time to cancel.
_WAITS: dict[EscalationStage, float] = {
    EscalationStage.ASKED: SILENT_SECONDS,
    EscalationStage.TOLD: SILENT_SECONDS,
    EscalationStage.HEARD: CHECK_SECONDS,
    EscalationStage.CHECKED: 2 * SILENT_SECONDS,
}


@dataclass(frozen=True, slots=True)
class Escalation:
    """How far it has come with one job. Times are seconds of one clock that only goes forward."""

    stage: EscalationStage
    due_at: float | None  # None: nothing more is waited for
    over_at: float  # when the time to cancel is over, and the grace


def begin(now: float, cancel_seconds: float) -> tuple[Escalation, Measure]:
    """The end was asked for; `cancel_seconds` is the job's time to cancel."""
    over_at = now + cancel_seconds + GRACE_SECONDS
    return Escalation(EscalationStage.ASKED, now + SILENT_SECONDS, over_at), Measure.ASK


def begin_at_deadline(now: float) -> tuple[Escalation, Measure]:
    """The supervisor has had all the time that there is."""
    return Escalation(EscalationStage.KILLED, None, now), Measure.KILL


def advance(escalation: Escalation, event: EscalationEvent, now: float) -> tuple[Escalation, Measure | None]:
    """What follows from `event`. One that means nothing at this stage, or comes too early, changes nothing."""
    if event is EscalationEvent.DUE and (escalation.due_at is None or now < escalation.due_at):
        return escalation, None
    if (escalation.stage, event) not in _NEXT:
        return escalation, None
    stage, measure = _NEXT[escalation.stage, event]
    if (
        event is EscalationEvent.DUE
        and escalation.stage is EscalationStage.HEARD
        and now >= escalation.over_at
    ):
        stage, measure = EscalationStage.KILLED, Measure.KILL
    if stage is EscalationStage.KILLED:
        return Escalation(stage, None, escalation.over_at), measure
    wait = _WAITS.get(stage)
    due_at = escalation.over_at if wait is None else min(now + wait, max(now, escalation.over_at))
    return Escalation(stage, due_at, escalation.over_at), measure


def choose_deadline(began: float, timeout_seconds: float, cancel_seconds: float) -> float | None:
    """When a job that began at `began` must be over, whatever its supervisor does; None for one without a time-out."""
    return began + timeout_seconds + cancel_seconds + GRACE_SECONDS if timeout_seconds > 0 else None
