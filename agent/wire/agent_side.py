"""The agent's side of a connection: frames in, messages and frames out. Pure; one object per connection.

The phases are `agent.wire.conversation`'s. In addition each job has a life of its own on a connection:

    announced (in `ready`) --ack--> open at the server's offset --release | revoke--> gone
    assigned --accept--> open at 0;  --refuse--> gone          an accepted job begins with its first ack (`must_wait`)

Only an open journal is shipped, within the window that the server granted. After `closed` every frame is passed over
in silence: it was under way when the connection ended.
"""

from collections.abc import Callable, Mapping

from agent.wire import messages as m
from agent.wire.codec import SESSION_FRAME, decode_said, decode_text, encode_chunk, encode_message
from agent.wire.conversation import ConversationPhase, hear, say
from agent.wire.errors import IllegalVerbError, WireError
from agent.wire.sessions import AttachSessions
from agent.wire.window import Window

Sign = Callable[[m.Challenge], bytes]
_Lease = tuple[str, int]


class AgentProtocol:
    """What an agent may say and hear on one connection.

    Verbs queue frames, `outgoing` hands them over. `hello` comes first, the proof goes out by itself, `ready` is said
    after `Welcome` came in; then the rest in any order. On a closed
    connection verbs do nothing.
    """

    def __init__(self, agent: str, software: str, sign: Sign, boot: str = "", generation: int = 0) -> None:
        self.phase = ConversationPhase.NEW
        self._agent = agent
        self._software = software
        self._sign = sign
        self._boot = boot
        self._generation = generation
        self._version = 0
        self._window = Window(0)
        self._announced: set[_Lease] = set()
        self._assigned: set[_Lease] = set()
        self._sessions = AttachSessions()
        self._outgoing: list[str | bytes] = []

    def outgoing(self) -> list[str | bytes]:
        """The frames to send now, in order; each is handed out once."""
        frames, self._outgoing = self._outgoing, []
        return frames

    # What comes in

    def receive_text(self, text: str) -> tuple[m.ServerMessage, ...]:
        """The messages in a text frame that the caller acts upon (challenge is answered here).

        Raises WireError, and is closed then, when the server broke the protocol.
        """
        if self.phase is ConversationPhase.CLOSED:
            return ()
        try:
            return self._hear(decode_text(text))
        except WireError:
            self.phase = ConversationPhase.CLOSED
            raise

    def receive_bytes(self, frame: bytes) -> tuple[m.ServerMessage, ...]:
        """What a session is sent: the only binary frames of a server. Raises WireError, and is closed then."""
        if self.phase is ConversationPhase.CLOSED:
            return ()
        try:
            return self._hear(self._decode_said(frame))
        except WireError:
            self.phase = ConversationPhase.CLOSED
            raise

    def _decode_said(self, frame: bytes) -> m.Message:
        if self._version < m.APPS_VERSION or frame[:1] != bytes([SESSION_FRAME]):
            raise WireError("bad_message", "a binary frame came from the server")
        return decode_said(frame)

    def _hear(self, message: m.Message) -> tuple[m.ServerMessage, ...]:
        if not isinstance(message, m.ServerMessage):
            raise WireError("bad_message", f"'{message.KIND}' is not a server's word")
        self.phase = hear(self.phase, message)
        match message:
            case m.Challenge():
                self._answer(message)
                return ()
            case m.Welcome():
                self._window = Window(message.window_bytes)
            case m.Assign():
                self._assigned.add((message.job, message.lease))
            case m.Ack():
                self._take_ack(message)
            case m.Release() | m.Revoke():
                self._forget(message.job, message.lease)
            case m.Attach():
                self._begin_session(message)
            case m.AttachInput() | m.AttachTaken() | m.AttachLeave():
                return self._hear_session(message)
            case m.Cancel() | m.EventPart() | m.Rejected():
                pass
        return (message,)

    def _begin_session(self, attach: m.Attach) -> None:
        try:
            self._sessions.open(attach.session)
        except IllegalVerbError as error:
            raise WireError("bad_message", str(error)) from None

    def _hear_session(
        self, message: m.AttachInput | m.AttachTaken | m.AttachLeave
    ) -> tuple[m.ServerMessage, ...]:
        if not self._sessions.is_open(message.session):
            return ()  # it ended while this was under way
        try:
            match message:
                case m.AttachInput():
                    self._sessions.come(message.session)
                case m.AttachTaken():
                    self._sessions.taken(message.session, message.frames)
                case m.AttachLeave():
                    self._sessions.close(message.session)
        except IllegalVerbError as error:
            raise WireError("bad_message", str(error)) from None
        return (message,)

    def _answer(self, challenge: m.Challenge) -> None:
        if challenge.version not in m.PROTOCOL_VERSIONS:
            raise WireError(
                "unsupported_version", f"the server chose protocol version {challenge.version}, unknown here"
            )
        self._version = challenge.version
        self._say(m.Proof(self._sign(challenge)))

    def _take_ack(self, ack: m.Ack) -> None:
        if (ack.job, ack.lease) in self._announced:
            self._announced.discard((ack.job, ack.lease))
            self._window.open(ack.job, ack.lease, ack.offset)
        else:
            try:
                self._window.acked(ack.job, ack.lease, ack.offset)
            except IllegalVerbError as error:
                raise WireError("bad_message", str(error)) from None

    def _forget(self, job: str, lease: int) -> None:
        self._announced.discard((job, lease))
        self._assigned.discard((job, lease))
        self._window.close(job, lease)

    # What goes out

    def hello(self) -> None:
        """Open the conversation."""
        hello = m.Hello(self._agent, m.PROTOCOL_VERSIONS, self._software, self._boot, self._generation)
        self._say(hello)

    def ready(self, message: m.Ready) -> None:
        """Say what this machine is and holds; the server answers each held job with an offset or a `revoke`."""
        self._say(message)
        self._announced = {(held.job, held.lease) for held in message.held}

    def accept(self, job: str, lease: int) -> None:
        """The job folder is on the disk. Raises IllegalVerbError unless the lease was assigned on this connection."""
        self._answer_assign(m.Accept(job, lease))
        if not self._window.is_open(job, lease):
            self._window.open(job, lease, 0)

    def refuse(self, job: str, lease: int, reason: str) -> None:
        """Give an assigned job back. Raises IllegalVerbError unless it was assigned on this connection."""
        self._answer_assign(m.Refuse(job, lease, reason))

    def want_event(self, job: str, lease: int, offset: int) -> bool:
        """Ask for the part of the job's event at `offset`; False when its lease is not open here, and nothing will come."""
        is_possible = self._version >= m.EVENT_PARTS_VERSION and self._window.is_open(job, lease)
        if self.phase is ConversationPhase.CLOSED or not is_possible:
            return False
        self._say(m.EventWanted(job, lease, offset))
        return True

    def ship(self, job: str, lease: int, offset: int, data: bytes) -> None:
        """Send journal bytes; `next_offset` and `room_bytes` say what is allowed. Raises IllegalVerbError otherwise."""
        if self.phase is ConversationPhase.CLOSED:
            return
        chunk = m.JournalChunk(job, lease, offset, data)
        after = say(self.phase, chunk)
        self._window.sent(job, lease, offset, offset + len(data))
        self.phase = after
        self._outgoing.append(encode_chunk(chunk))

    def heartbeat(self, held: tuple[m.HeldJob, ...], figures: Mapping[str, object]) -> None:
        """A sign of life."""
        self._say(m.Heartbeat(held, figures))

    def attach_opened(self, session: str) -> None:
        """What the session is for runs; nothing is said of one that is over."""
        if self._sessions.is_open(session):
            self._say(m.AttachOpened(session))

    def attach_output(self, session: str, stream: int, data: bytes) -> None:
        """Output of a session; `attach_room` says what is allowed. Raises IllegalVerbError otherwise."""
        if self._sessions.is_open(session):
            self._sessions.send(session)
            self._say(m.AttachOutput(session, stream, data))

    def attach_taken(self, session: str, frames: int) -> None:
        """So many more frames of the session's input were passed on."""
        if self._sessions.is_open(session):
            self._sessions.take(session, frames)
            self._say(m.AttachTaken(session, frames))

    def attach_ended(self, session: str, exit_code: int | None, message: str = "") -> None:
        """The session is over."""
        if self._sessions.is_open(session):
            self._sessions.close(session)
            self._say(m.AttachEnded(session, exit_code, message))

    def attach_room(self, session: str) -> int | None:
        """How many frames of output may go out now; None when the session is over."""
        return self._sessions.room(session) if self._sessions.is_open(session) else None

    def drain(self, *, is_draining: bool) -> None:
        """Ask for no new jobs, or for jobs again."""
        self._say(m.Drain(is_draining))

    def inventory(self, message: m.NewInventory) -> None:
        """The machine has changed. Raises IllegalVerbError where the server is too old to hear it (`tells_inventory`)."""
        if not self.tells_inventory:
            raise IllegalVerbError("the server is too old to be told of a change of the machine")
        self._say(message)

    def goodbye(self) -> None:
        """Unregister: the identity ends with this connection."""
        self._say(m.Goodbye())

    # What may be done

    def may_answer(self, job: str, lease: int) -> bool:
        """Whether an assigned job waits for `accept` or `refuse`: neither was said, and it was not taken back."""
        return (job, lease) in self._assigned

    def must_wait(self, assign: m.Assign) -> bool:
        """Whether a job that is accepted begins with its first `ack`, and not at once: older servers say no such word."""
        return self._version >= m.BEGIN_VERSION or assign.node is not None

    @property
    def tells_inventory(self) -> bool:
        """Whether the server hears of changes of the machine; an older one hears only what `ready` says."""
        return self._version >= m.INVENTORY_VERSION

    @property
    def is_welcome(self) -> bool:
        """Whether the server knows who we are, and `ready` is due."""
        return self.phase is ConversationPhase.WELCOMED

    @property
    def is_ready(self) -> bool:
        """Whether the opening is over, and the work goes on."""
        return self.phase is ConversationPhase.READY

    @property
    def room_bytes(self) -> int:
        """How many journal bytes may go out now, over all jobs."""
        return self._window.room_bytes

    def next_offset(self, job: str, lease: int) -> int | None:
        """Where this job's next chunk begins; None while the server has not said from where, and when the conversation is over."""
        return None if self.phase is ConversationPhase.CLOSED else self._window.next_offset(job, lease)

    def _answer_assign(self, message: m.Accept | m.Refuse) -> None:
        if self.phase is ConversationPhase.CLOSED:
            return
        if (message.job, message.lease) not in self._assigned:
            raise IllegalVerbError(
                f"{message.job} under lease {message.lease} was not assigned on this connection"
            )
        self._say(message)
        self._assigned.discard((message.job, message.lease))

    def _say(self, message: m.AgentMessage) -> None:
        if self.phase is ConversationPhase.CLOSED:
            return
        frame = encode_message(message, self._version)
        self.phase = say(self.phase, message)
        self._outgoing.append(frame)
