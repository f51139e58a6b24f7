"""Every message between agent and server, in the order of a connection's life.

    agent                                server
      hello            ->                          version negotiation, who I say I am
                       <-  challenge               a fresh nonce
      proof            ->                          the nonce signed with the agent's Ed25519 key
                       <-  welcome                 limits and pace of this connection
      ready            ->                          inventory, labels, and every job folder that is still here
                       <-  ack | revoke            for each held job: the offset to ship from, or 'it is not yours'
                       <-  assign                  a job under a lease number, with its sealed secrets
      accept | refuse  ->                          the job is on the disk and waits, or goes back to the queue
      event_wanted     ->                          the long event of an accepted job, from an offset
                       <-  event_part              the next part of it
      journal (binary) ->                          bytes of the job's journal from an offset
                       <-  ack                     stored durably up to this offset; the first one also: begin; and what
                                                   a person has answered to a step that waits for it
                       <-  cancel                  end it: SIGINT, SIGTERM, SIGKILL
                       <-  release                 its journal is complete here: forget the job
                       <-  attach                  somebody wants a shell, a command, or an app's port in a running job
      attach_opened    ->                          it is there
                       <-  attach_input            what they type, and the size of their window
      attach_output    ->                          what they see
      attach_taken    <->                          so many of these frames were passed on: as many more may come
                       <-  attach_leave            they have gone
      attach_ended     ->                          it is over, with this exit code or for this reason
      heartbeat        ->                          I live; these are my leases and figures
      drain            ->                          no new jobs, please (or: again, please)
      inventory        ->                          the machine has changed: this is what it has now
      goodbye          ->                          the agent is unregistered
                       <-  rejected                an error with a name; the connection closes after it

Text frames are JSON objects whose `kind` names the message; binary frames are journal bytes, and from protocol 4 on also
what a session's two sides say (`agent.wire.codec`).
Everything that matters carries (job, lease) and may be repeated without harm. docs/protocol.md says how it grows.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import ClassVar, get_args

from agent.spec.job import GangNode, JobSpec
from agent.spec.resources import Inventory

PROTOCOL_VERSIONS = (1, 2, 3, 4, 5, 6)  # that this code speaks, best last
ATTACH_VERSION = 2  # the first one with `attach`
BEGIN_VERSION = (
    3  # the first one in which every job waits for its first `ack`; before, only nodes of gangs did
)
APPS_VERSION = 4  # the first one with ports of apps, and with what sessions say in binary frames
# 5 (`agent.spec.stages.PROTOCOL`) is the first one in which a job's work may be stages: the messages are those of 4.
EVENT_PARTS_VERSION = 6  # the first one with long events, which come in parts and not with their job
EVENT_PART_BYTES = 1 << 20  # of an event's document in one part, before compression; its last part has less
INVENTORY_VERSION = 6  # the first one with `inventory`; before, an agent connects anew to say what it has
# 6 (`agent.spec.checkpoints.PROTOCOL`) is the first one with checkpoints, and with `interrupts` of `cancel`.
ATTACH_WINDOW_FRAMES = 16  # of one session and direction, that may be on their way and not taken
TAKEN_TOGETHER = 4  # frames that one `attach_taken` of ours says, where more are on their way
ATTACH_FRAME_BYTES = 8 << 10  # of data in one of them
PORT_FRAME_BYTES = 32 << 10  # and in one of a session with a port
ATTACH_COMMAND_CHARACTERS = 4000


@dataclass(frozen=True, slots=True)
class Hello:
    """Opens a connection: the protocol versions that the agent speaks, and who it says it is."""

    KIND: ClassVar[str] = "hello"
    agent: str
    versions: tuple[int, ...]
    software: str  # such as `flow-agent/0.1.0`
    boot: str = ""  # of its machine (agent.daemon.place.describe_boot); empty: it does not say
    generation: int = 0  # that its state has kept (agent.daemon.generation); 0: it does not say


@dataclass(frozen=True, slots=True)
class Challenge:
    """The version to speak, and a fresh nonce to sign."""

    KIND: ClassVar[str] = "challenge"
    version: int
    server: str  # the server's own identifier, part of what is signed
    nonce: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """The signature over `agent.seal.challenge_message(server, agent, nonce, version)`."""

    KIND: ClassVar[str] = "proof"
    signature: bytes


@dataclass(frozen=True, slots=True)
class Welcome:
    """The agent is who it says. How this connection goes on."""

    KIND: ClassVar[str] = "welcome"
    name: str
    heartbeat_seconds: float
    window_bytes: int  # journal bytes that may be unacknowledged, over all jobs
    generation: int = 0  # of this connection; 0: an older server's


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job folder on the agent: under which lease, how many journal bytes are here, whether its supervisor lives.

    `waiting` says why it does not run yet, where the agent has handed it to somebody who has it wait (Slurm); empty: it does.
    """

    job: str
    lease: int
    journal_bytes: int
    is_running: bool
    waiting: str = ""

    @staticmethod
    def to_form(fields: dict[str, object]) -> dict[str, object]:
        """As it was before there was anything to say."""
        if not fields["waiting"]:
            del fields["waiting"]
        return fields


@dataclass(frozen=True, slots=True)
class Ready:
    """What the agent is and holds; sent once a connection, before any job is assigned."""

    KIND: ClassVar[str] = "ready"
    inventory: Inventory
    labels: tuple[str, ...]
    max_jobs: int
    held: tuple[HeldJob, ...] = ()
    is_draining: bool = False
    boot: str = ""  # as in `hello`
    generation: int = 0  # that of `welcome`, when it is kept


@dataclass(frozen=True, slots=True)
class Assign:
    """A job for this agent. `sealed` maps secret names to HPKE ciphertexts bound to (job, lease, name).

    `gpus` are the UUIDs of those that are the job's own; None: nobody has decided. A job is accepted and waits for the
    first `ack`: then the server has noted that it is this agent's, and, when it is a `node` of several, that all are there.
    """

    KIND: ClassVar[str] = "assign"
    job: str
    lease: int
    spec: JobSpec
    sealed: Mapping[str, bytes] = field(default_factory=lambda: MappingProxyType({}))
    gpus: tuple[str, ...] | None = None
    node: GangNode | None = None


@dataclass(frozen=True, slots=True)
class Accept:
    """The job folder is on the agent's disk: the job is delivered, and begins when the server has said so."""

    KIND: ClassVar[str] = "accept"
    job: str
    lease: int


# How the reason of a refusal begins that is the job's own: no other try would go better.
CANNOT_KEEP = "the agent can't keep this job"
# How one begins that is about GPUs which have gone or are withheld: the agent says at once what its machine has now.
CHANGED_MACHINE = "infrastructure: GPU"


@dataclass(frozen=True, slots=True)
class Refuse:
    """The agent will not run the job (draining, policy, disk); it goes back to the queue, with the reason shown.

    One that begins with `CANNOT_KEEP` is counted against the job, which ends when there are too many.
    """

    KIND: ClassVar[str] = "refuse"
    job: str
    lease: int
    reason: str


@dataclass(frozen=True, slots=True)
class EventWanted:
    """The agent asks for a part of the event that `spec.event_apart` of an accepted job names, to have all before it begins.

    It asks for one part after the other, and goes on where it was: no more than one is on its way, and none is sent twice.
    """

    KIND: ClassVar[str] = "event_wanted"
    job: str
    lease: int
    offset: int  # of the document's text, a multiple of EVENT_PART_BYTES


@dataclass(frozen=True, slots=True)
class EventPart:
    """A part of a job's event: `data` is zlib of the document's text from `offset` on; empty: the server does not have it."""

    KIND: ClassVar[str] = "event_part"
    job: str
    lease: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StepAnswer:
    """What `by` has filled in for the step of that number, which has asked for it in the journal.

    `gpus` are the UUIDs of those that are the job's from now on, where it has given its room back; None: those that it had.
    """

    step: int
    by: str
    values: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    gpus: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Ack:
    """The server holds the journal durably up to `offset`; also tells where to ship from after a reconnect.

    With an `answer` it is said once more for the sake of that: it is told again on each connection until the journal says
    that the step has ended, and the step goes on with the first.
    """

    KIND: ClassVar[str] = "ack"
    job: str
    lease: int
    offset: int
    answer: StepAnswer | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the job: steps that run `always()` still get their turn.

    `interrupts`: it makes place for another job, and is tried again from where it is; an agent that does not know the key cancels it.
    """

    KIND: ClassVar[str] = "cancel"
    job: str
    lease: int
    reason: str
    interrupts: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """The journal is complete on the server: the agent forgets the job and removes its folder."""

    KIND: ClassVar[str] = "release"
    job: str
    lease: int


@dataclass(frozen=True, slots=True)
class Revoke:
    """This lease is not (or no longer) the agent's: stop the job, ship nothing, remove its folder."""

    KIND: ClassVar[str] = "revoke"
    job: str
    lease: int
    reason: str


@dataclass(frozen=True, slots=True)
class Terminal:
    """The terminal of whoever attaches: its size, and its kind (`TERM`)."""

    rows: int
    columns: int
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Attach:
    """`user`, who called from `address`, wants to run `command` in the job: nothing means a shell, one word is for `sh -c`.

    Without a `terminal` the command's streams are passed on as they are. `is_resume`: nothing is run, a held job goes on.
    `app`: nothing is run, the session is a connection to that app's port (output is stream 1; it ends with exit code 0).
    """

    KIND: ClassVar[str] = "attach"
    session: str
    job: str
    lease: int
    user: str
    address: str
    command: tuple[str, ...] = ()
    terminal: Terminal | None = None
    is_resume: bool = False
    app: str = ""


@dataclass(frozen=True, slots=True)
class AttachOpened:
    """The shell, or the command, runs; the port has taken the connection."""

    KIND: ClassVar[str] = "attach_opened"
    session: str


@dataclass(frozen=True, slots=True)
class AttachInput:
    """Bytes for standard input; `is_end`: no more will come; `rows` above 0: the terminal has another size."""

    KIND: ClassVar[str] = "attach_input"
    session: str
    data: bytes = b""
    is_end: bool = False
    rows: int = 0
    columns: int = 0


@dataclass(frozen=True, slots=True)
class AttachOutput:
    """Bytes of standard output (`stream` 1, and all of a terminal's) or standard error (2), masked."""

    KIND: ClassVar[str] = "attach_output"
    session: str
    stream: int
    data: bytes


@dataclass(frozen=True, slots=True)
class AttachTaken:
    """`frames` more of the other side's input or output have been passed on: each side may say it."""

    KIND: ClassVar[str] = "attach_taken"
    session: str
    frames: int


@dataclass(frozen=True, slots=True)
class AttachLeave:
    """Whoever was attached has gone: what they ran is ended."""

    KIND: ClassVar[str] = "attach_leave"
    session: str


@dataclass(frozen=True, slots=True)
class AttachEnded:
    """The session is over: with the exit code of what ran, or without one, as the `message` explains."""

    KIND: ClassVar[str] = "attach_ended"
    session: str
    exit_code: int | None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The agent lives. `figures` are the machine's latest samples (cpu_percent, memory_used_bytes, gpus, ...)."""

    KIND: ClassVar[str] = "heartbeat"
    held: tuple[HeldJob, ...] = ()
    figures: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Drain:
    """Whether the agent wants no new jobs; those it has go on."""

    KIND: ClassVar[str] = "drain"
    is_draining: bool


@dataclass(frozen=True, slots=True)
class NewInventory:
    """The machine has changed while the agent is connected: all of what `ready` has said of it, as it is now."""

    KIND: ClassVar[str] = "inventory"
    inventory: Inventory
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The agent unregisters: its identity ends with this connection."""

    KIND: ClassVar[str] = "goodbye"


@dataclass(frozen=True, slots=True)
class Rejected:
    """Why the server ends the connection: `code` for programs, `message` for people."""

    KIND: ClassVar[str] = "rejected"
    code: str  # unsupported_version, unknown_agent, bad_signature, bad_message, too_large, replaced, running_elsewhere, shutting_down
    message: str


@dataclass(frozen=True, slots=True)
class JournalChunk:
    """Bytes of a job's journal, `data` beginning at `offset`; the one message that never travels as a text frame."""

    job: str
    lease: int
    offset: int
    data: bytes


AgentMessage = (
    Hello
    | Proof
    | Ready
    | Accept
    | Refuse
    | EventWanted
    | Heartbeat
    | Drain
    | NewInventory
    | Goodbye
    | AttachOpened
    | AttachOutput
    | AttachTaken
    | AttachEnded
)
ServerMessage = (
    Challenge
    | Welcome
    | Assign
    | EventPart
    | Ack
    | Cancel
    | Release
    | Revoke
    | Rejected
    | Attach
    | AttachInput
    | AttachTaken
    | AttachLeave
)
Message = AgentMessage | ServerMessage

KINDS: dict[str, type] = {kind.KIND: kind for kind in (*get_args(AgentMessage), *get_args(ServerMessage))}
