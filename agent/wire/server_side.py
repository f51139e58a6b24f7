"""The server's side of a connection: frames in, messages and frames out. Pure; one object per connection.

The phases are `agent.wire.conversation`'s. In addition each lease has a life of its own on a connection:

    announced (in `ready`) --resume--> open at the stored offset --release | revoke--> gone
    offered (`assign`) --accept--> open at 0, and begun with the first `acknowledge`;  --refuse--> gone

Journal bytes are handed up only for an open lease, in order, within the window. Bytes and answers under any other lease
are dropped and answered with `revoke`: they are old, or somebody else's. What a server has to do:

 1. `Hello` came in: look the agent up, then `challenge(known)`.   2. `Authenticated`: end an older connection of it.
 3. `Ready` came in: `resume` or `revoke` each held job (`unanswered` must become empty), then `assign`.
 4. `Accept`, `Refuse`, `JournalChunk`, `Heartbeat`, `Drain`, `NewInventory`, `Goodbye`: store durably, then `acknowledge`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.wire import messages as m
from agent.wire.codec import SESSION_FRAME, decode_chunk, decode_said, decode_text, encode_message
from agent.wire.conversation import ConversationPhase, hear, say
from agent.wire.errors import IllegalVerbError, WireError
from agent.wire.sessions import AttachSessions
from agent.wire.window import Window

_Lease = tuple[str, int]


@dataclass(frozen=True, slots=True)
class KnownAgent:
    """What the server knows about an agent. `verify` says whether a signature answers a challenge to this agent.

    `generation` is the highest one that the agent's state has kept.
    """

    name: str
    verify: Callable[[m.Challenge, bytes], bool]
    generation: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionTerms:
    """What an agent is told in `welcome`."""

    heartbeat_seconds: float = 10.0
    window_bytes: int = 4 << 20


@dataclass(frozen=True, slots=True)
class Authenticated:
    """The agent proved who it is; `welcome` is on its way."""

    agent: str
    name: str


AgentEvent = (  # about the agent and its leases
    m.Hello
    | Authenticated
    | m.Ready
    | m.Accept
    | m.Refuse
    | m.EventWanted
    | m.JournalChunk
    | m.Heartbeat
    | m.Drain
    | m.NewInventory
    | m.Goodbye
)
Event = AgentEvent | m.AttachOpened | m.AttachOutput | m.AttachTaken | m.AttachEnded


class ServerProtocol:
    """What a server may say and hear on one connection.

    `receive_*` give events and raise WireError when the agent broke the protocol (`rejected` is queued then and the
    connection is closed). Verbs on a closed connection, or about a lease that is not on this one, do nothing: the end
    was under way.
    """

    def __init__(self, server: str, nonce: bytes, terms: ConnectionTerms) -> None:
        self.phase = ConversationPhase.NEW
        self.agent = ""
        self._server = server
        self._nonce = nonce
        self._terms = terms
        self._known: KnownAgent | None = None
        self._challenge: m.Challenge | None = None
        self._version = 0
        self._window = Window(terms.window_bytes)
        self._announced: dict[_Lease, int] = {}
        self._offered: set[_Lease] = set()
        self._sessions = AttachSessions()
        self._outgoing: list[str | bytes] = []

    @property
    def is_closed(self) -> bool:
        """Whether the connection is to be closed once `outgoing` is sent."""
        return self.phase is ConversationPhase.CLOSED

    @property
    def unanswered(self) -> frozenset[_Lease]:
        """The held jobs of `ready` that were neither resumed nor revoked yet, as (job, lease)."""
        return frozenset(self._announced)

    @property
    def leases(self) -> frozenset[_Lease]:
        """The leases that are on this connection, as (job, lease): announced, offered or open."""
        return frozenset(self._announced) | self._offered | self._window.open_leases

    def outgoing(self) -> list[str | bytes]:
        """The frames to send now, in order; each is handed out once."""
        frames, self._outgoing = self._outgoing, []
        return frames

    # What comes in

    def receive_text(self, text: str) -> tuple[Event, ...]:
        """The events in a text frame. Raises WireError."""
        return self._receive(lambda: self._hear(decode_text(text)))

    def receive_bytes(self, frame: bytes) -> tuple[Event, ...]:
        """The events in a binary frame. Raises WireError."""
        if self._version >= m.APPS_VERSION and frame[:1] == bytes([SESSION_FRAME]):
            return self._receive(lambda: self._hear(decode_said(frame)))
        return self._receive(lambda: self._hear_chunk(decode_chunk(frame)))

    def _receive(self, work: Callable[[], tuple[Event, ...]]) -> tuple[Event, ...]:
        if self.is_closed:
            return ()
        try:
            return work()
        except WireError as error:
            self.reject(error.code, str(error))
            raise

    def _hear(self, message: m.Message) -> tuple[Event, ...]:
        if not isinstance(message, m.AgentMessage):
            raise WireError("bad_message", f"'{message.KIND}' is not an agent's word")
        self.phase = hear(self.phase, message)
        match message:
            case m.Hello():
                self._version = _choose_version(message.versions)
                self.agent = message.agent
                self._generation = message.generation
            case m.Proof():
                return (self._verify(message.signature),)
            case m.Ready():
                self._announced = {(held.job, held.lease): held.journal_bytes for held in message.held}
            case m.Accept():
                return self._take_accept(message)
            case m.Refuse():
                return self._take_refuse(message)
            case m.EventWanted():
                return self._take_wanted(message)
            case m.AttachOpened() | m.AttachOutput() | m.AttachTaken() | m.AttachEnded():
                return self._hear_session(message)
            case m.Heartbeat() | m.Drain() | m.NewInventory() | m.Goodbye():
                pass
        return (message,)

    def _hear_session(
        self, message: m.AttachOpened | m.AttachOutput | m.AttachTaken | m.AttachEnded
    ) -> tuple[Event, ...]:
        if not self._sessions.is_open(message.session):
            return ()  # whoever was attached has gone while this was under way
        try:
            match message:
                case m.AttachOutput():
                    self._sessions.come(message.session)
                case m.AttachTaken():
                    self._sessions.taken(message.session, message.frames)
                case m.AttachEnded():
                    self._sessions.close(message.session)
                case m.AttachOpened():
                    pass
        except IllegalVerbError as error:
            raise WireError("bad_message", str(error)) from None
        return (message,)

    def _verify(self, signature: bytes) -> Authenticated:
        if self._known is None or self._challenge is None:
            raise WireError("bad_message", "'proof' came before the challenge")
        if not self._known.verify(self._challenge, signature):
            raise WireError("bad_signature", "the signature is not this agent's")
        terms, generation = self._terms, max(self._known.generation, self._generation) + 1
        self._say(m.Welcome(self._known.name, terms.heartbeat_seconds, terms.window_bytes, generation))
        return Authenticated(self.agent, self._known.name)

    def _take_accept(self, accept: m.Accept) -> tuple[Event, ...]:
        lease = (accept.job, accept.lease)
        if not self._window.is_open(*lease):
            if lease not in self._offered:
                return self._answer_stale(*lease)
            self._window.open(*lease, 0)
        self._offered.discard(lease)
        return (accept,)

    def _take_refuse(self, refuse: m.Refuse) -> tuple[Event, ...]:
        if (refuse.job, refuse.lease) not in self._offered:
            return ()
        self._offered.discard((refuse.job, refuse.lease))
        return (refuse,)

    def _take_wanted(self, wanted: m.EventWanted) -> tuple[Event, ...]:
        if not self._window.is_open(wanted.job, wanted.lease):
            return self._answer_stale(wanted.job, wanted.lease)
        return (wanted,)

    def _hear_chunk(self, chunk: m.JournalChunk) -> tuple[Event, ...]:
        self.phase = hear(self.phase, chunk)
        if (chunk.job, chunk.lease) in self._announced:
            raise WireError("bad_message", f"journal bytes of {chunk.job} came before it was told from where")
        if not self._window.is_open(chunk.job, chunk.lease):
            return self._answer_stale(chunk.job, chunk.lease)
        try:
            self._window.sent(chunk.job, chunk.lease, chunk.offset, chunk.offset + len(chunk.data))
        except IllegalVerbError as error:
            raise WireError("bad_message", str(error)) from None
        return (chunk,)

    def _answer_stale(self, job: str, lease: int) -> tuple[Event, ...]:
        self._say(m.Revoke(job, lease, "this lease is not, or no longer, this agent's"))
        return ()

    # What goes out

    def challenge(self, known: KnownAgent | None) -> None:
        """Answer `Hello` with a challenge; or, when it is nobody's or that of a copy that was left behind, with a rejection."""
        if known is None:
            self.reject("unknown_agent", "no agent is registered under this identifier")
            return
        if 0 < self._generation < known.generation:
            self.reject("older_copy", "this agent has been connected since this state of it was copied")
            return
        self._known = known
        self._challenge = m.Challenge(self._version, self._server, self._nonce)
        self._say(self._challenge)

    def resume(self, job: str, lease: int, offset: int) -> None:
        """A held job is still the agent's: go on from `offset`, the length that is stored here.

        Raises IllegalVerbError when the agent holds less than that: then its journal was lost with a power failure and
        the job is to be revoked and ended as lost.
        """
        held_bytes = self._announced.get((job, lease))
        if held_bytes is None:
            return
        if offset > held_bytes:
            raise IllegalVerbError(
                f"the agent holds {held_bytes} bytes of {job}, less than the {offset} stored"
            )
        del self._announced[job, lease]
        self._window.open(job, lease, offset)
        self._say(m.Ack(job, lease, offset))

    def assign(self, message: m.Assign) -> None:
        """Offer a job. Raises IllegalVerbError while a held job is unanswered, or for a lease that is held."""
        if self._announced:
            raise IllegalVerbError(
                f"{len(self._announced)} held jobs wait for an answer before any job is assigned"
            )
        job, lease = message.job, message.lease
        if self._window.is_open(job, lease):
            raise IllegalVerbError(f"{job} under lease {lease} is already the agent's")
        self._say(message)
        self._offered.add((job, lease))

    def acknowledge(self, job: str, lease: int, offset: int) -> None:
        """The journal is stored durably up to `offset`."""
        if self._window.is_open(job, lease):
            self._window.acked(job, lease, offset)
            self._say(m.Ack(job, lease, offset))

    def answer(self, job: str, lease: int, answer: m.StepAnswer) -> None:
        """Somebody has answered what a step of the job has asked in its journal."""
        offset = self._window.acked_offset(job, lease)
        if offset is not None:
            self._say(m.Ack(job, lease, offset, answer))

    def cancel(self, job: str, lease: int, reason: str, *, interrupts: bool = False) -> None:
        """Ask the agent to end the job; `interrupts`: so that its next try can go on from there."""
        if self._is_here(job, lease):
            self._say(m.Cancel(job, lease, reason, interrupts))

    def release(self, job: str, lease: int) -> None:
        """The journal is complete and stored: the agent may forget the job."""
        if self._is_here(job, lease):
            self._forget(job, lease)
            self._say(m.Release(job, lease))

    def revoke(self, job: str, lease: int, reason: str) -> None:
        """The lease is over: the agent stops the job and ships nothing more."""
        if self._is_here(job, lease):
            self._forget(job, lease)
            self._say(m.Revoke(job, lease, reason))

    def send_part(self, part: m.EventPart) -> None:
        """What an agent has asked for of a job's event."""
        if self._window.is_open(part.job, part.lease):
            self._say(part)

    @property
    def version(self) -> int:
        """The version that is spoken; 0 until it is agreed."""
        return self._version

    @property
    def tells_begin(self) -> bool:
        """Whether the agent begins no job before its first `acknowledge`."""
        return self._version >= m.BEGIN_VERSION

    @property
    def can_attach(self) -> bool:
        """Whether the agent knows what `attach` means."""
        return self._version >= m.ATTACH_VERSION

    @property
    def can_reach_apps(self) -> bool:
        """Whether the agent knows of sessions with an app's port."""
        return self._version >= m.APPS_VERSION

    def attach(self, message: m.Attach) -> None:
        """Open a session in a job. Raises IllegalVerbError for an agent that is too old for it."""
        if not (self.can_reach_apps if message.app else self.can_attach):
            raise IllegalVerbError("the agent is too old to be attached to")
        if self._is_here(message.job, message.lease):
            self._sessions.open(message.session)
            self._say(message)

    def attach_input(self, message: m.AttachInput) -> None:
        """Input for a session; `attach_room` says what is allowed. Raises IllegalVerbError otherwise."""
        if self._sessions.is_open(message.session):
            self._sessions.send(message.session)
            self._say(message)

    def attach_taken(self, session: str, frames: int) -> None:
        """So many more frames of the session's output were passed on."""
        if self._sessions.is_open(session):
            self._sessions.take(session, frames)
            self._say(m.AttachTaken(session, frames))

    def attach_leave(self, session: str) -> None:
        """Whoever was attached has gone."""
        if self._sessions.is_open(session):
            self._sessions.close(session)
            self._say(m.AttachLeave(session))

    def attach_room(self, session: str) -> int | None:
        """How many frames of input may go out now; None when the session is over."""
        return self._sessions.room(session) if self._sessions.is_open(session) else None

    def reject(self, code: str, message: str) -> None:
        """End the connection with a reason (see `Rejected`); does nothing when it is closed."""
        self._say(m.Rejected(code, message))

    def _is_here(self, job: str, lease: int) -> bool:
        lease_here = (job, lease) in self._announced or (job, lease) in self._offered
        return lease_here or self._window.is_open(job, lease)

    def _forget(self, job: str, lease: int) -> None:
        self._announced.pop((job, lease), None)
        self._offered.discard((job, lease))
        self._window.close(job, lease)

    def _say(self, message: m.ServerMessage) -> None:
        if self.is_closed:
            return
        frame = encode_message(message, self._version)
        self.phase = say(self.phase, message)
        self._outgoing.append(frame)


def _choose_version(offered: tuple[int, ...]) -> int:
    common = set(offered) & set(m.PROTOCOL_VERSIONS)
    if not common:
        raise WireError(
            "unsupported_version",
            f"the agent speaks protocol {', '.join(map(str, sorted(offered)))}, this server {m.PROTOCOL_VERSIONS[-1]}",
        )
    return max(common)
