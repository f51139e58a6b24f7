"""The life of one connection, the same table for both sides. Pure.

    new --hello--> greeted --challenge--> challenged --proof--> proven --welcome--> welcomed --ready--> ready
    ready --goodbye--> closed
    new, greeted, challenged, proven, welcomed, ready --rejected--> closed

Everything else is said while it is ready, and leaves it so; where it is closed nothing is said or heard any more.

Each side moves along this table with every message that it sends or receives, so both agree on the phase as soon as
nothing is in flight. A message that the table does not have for the phase is refused by name.
"""

from enum import StrEnum

from agent.wire import messages as m
from agent.wire.errors import IllegalVerbError, WireError


class ConversationPhase(StrEnum):
    """How far a connection has come."""

    NEW = "new"
    GREETED = "greeted"
    CHALLENGED = "challenged"
    PROVEN = "proven"
    WELCOMED = "welcomed"
    READY = "ready"
    CLOSED = "closed"


AnyMessage = m.Message | m.JournalChunk

_IN_READY: tuple[type[AnyMessage], ...] = (
    *(m.Accept, m.Refuse, m.JournalChunk, m.Heartbeat, m.Drain, m.NewInventory),
    *(m.Assign, m.Ack, m.Cancel, m.Release, m.Revoke),
    *(m.EventWanted, m.EventPart),
    *(m.Attach, m.AttachOpened, m.AttachInput, m.AttachOutput, m.AttachTaken, m.AttachLeave, m.AttachEnded),
)

TRANSITIONS: dict[tuple[ConversationPhase, type[AnyMessage]], ConversationPhase] = {
    (ConversationPhase.NEW, m.Hello): ConversationPhase.GREETED,
    (ConversationPhase.GREETED, m.Challenge): ConversationPhase.CHALLENGED,
    (ConversationPhase.CHALLENGED, m.Proof): ConversationPhase.PROVEN,
    (ConversationPhase.PROVEN, m.Welcome): ConversationPhase.WELCOMED,
    (ConversationPhase.WELCOMED, m.Ready): ConversationPhase.READY,
    **{(ConversationPhase.READY, kind): ConversationPhase.READY for kind in _IN_READY},
    (ConversationPhase.READY, m.Goodbye): ConversationPhase.CLOSED,
    **{
        (phase, m.Rejected): ConversationPhase.CLOSED
        for phase in ConversationPhase
        if phase is not ConversationPhase.CLOSED
    },
}


def hear(phase: ConversationPhase, message: AnyMessage) -> ConversationPhase:
    """The phase after `message` came in. Raises WireError('bad_message') when it may not come now."""
    after = TRANSITIONS.get((phase, type(message)))
    if after is None:
        raise WireError("bad_message", f"'{name_of(message)}' may not come while the connection is {phase}")
    return after


def say(phase: ConversationPhase, message: AnyMessage) -> ConversationPhase:
    """The phase after `message` went out. Raises IllegalVerbError when it may not be sent now."""
    after = TRANSITIONS.get((phase, type(message)))
    if after is None:
        raise IllegalVerbError(f"'{name_of(message)}' may not be sent while the connection is {phase}")
    return after


def name_of(message: AnyMessage) -> str:
    """The word for `message` in sentences."""
    return "journal" if isinstance(message, m.JournalChunk) else message.KIND
