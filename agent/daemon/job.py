"""A job attempt on this machine, as the daemon sees it.

    found --it never ran--> waiting
    found --it runs, or has run--> running
    waiting --start--> starting
    starting --its supervisor is there--> running
    starting, running --its supervisor is gone--> ended
    waiting, running, ended --release, revoke--> leaving

What leaves is not ours any more: it is ended, and its folder goes. While it is being started it waits for that.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from agent.errors import DamagedError
from agent.job.launch.burial import read_result
from agent.job.launch.launcher import JobFolder
from agent.journal.file import JournalTail
from agent.journal.format import Closed, Opened, encode, pad
from agent.journal.magic import MAGIC
from agent.spec.event_apart import EventApart
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion, FailureKind, JobResult
from agent.states import Transitions
from agent.wire.validate import MAX_OFFSET


class DaemonJobState(StrEnum):
    """Where a job attempt on this machine stands."""

    FOUND = "found"  # an earlier daemon has left it, and its folder is being looked into
    WAITING = "waiting"  # stored, and not started
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"  # none of its processes lives; the server does not have all of it yet
    LEAVING = "leaving"  # not ours any more


DAEMON_JOBS: Final = Transitions(
    "job on this machine",
    frozenset({DaemonJobState.FOUND, DaemonJobState.WAITING}),
    {
        DaemonJobState.FOUND: frozenset({DaemonJobState.WAITING, DaemonJobState.RUNNING}),
        DaemonJobState.WAITING: frozenset({DaemonJobState.STARTING, DaemonJobState.LEAVING}),
        DaemonJobState.STARTING: frozenset({DaemonJobState.RUNNING, DaemonJobState.ENDED}),
        DaemonJobState.RUNNING: frozenset({DaemonJobState.ENDED, DaemonJobState.LEAVING}),
        DaemonJobState.ENDED: frozenset({DaemonJobState.LEAVING}),
        DaemonJobState.LEAVING: frozenset(),
    },
)


@dataclass(frozen=True, slots=True)
class JobLimits:
    """How long the job may take, and how long it may take to be cancelled. 0: no time-out."""

    timeout_seconds: float = 0.0
    cancel_seconds: float = 0.0

    @classmethod
    def of(cls, spec: JobSpec) -> "JobLimits":
        """Those that a job asks for."""
        grace = spec.grace_seconds if spec.is_interruptible else 0.0
        return cls(spec.timeout_minutes * 60, spec.cancel_timeout_minutes * 60 + grace)


@dataclass(frozen=True, slots=True)
class Fate:
    """What a job ends as whose supervisor was killed by us."""

    kind: FailureKind
    message: str

    @property
    def conclusion(self) -> Conclusion:
        """As the supervisor would have said it."""
        if self.kind is FailureKind.INTERRUPTED:
            return Conclusion.INTERRUPTED
        is_cancelled = self.kind in (FailureKind.CANCELLED, FailureKind.TIMEOUT)
        return Conclusion.CANCELLED if is_cancelled else Conclusion.FAILURE


@dataclass(slots=True)
class LastWord:
    """The end of a journal whose file is gone, or is shorter than what the server has: it goes on from where that ends."""

    folder: JobFolder
    result: JobResult
    _start: int = -1

    def read(self, offset: int, limit_bytes: int) -> bytes:
        """The bytes that follow on `offset`, where the server's copy ends.

        Where that is in the middle of a record, whose rest nobody has, the padding makes the record whole: the server
        sees that it is damaged, and waits no longer.
        """
        if self._start < 0 or not 0 <= offset - self._start <= len(self._encode(self._start)):
            self._start = offset
        data = self._encode(self._start)
        return data[offset - self._start :][:limit_bytes]

    def _encode(self, start: int) -> bytes:
        opening = MAGIC + encode(Opened(self.folder.job, self.folder.lease, 0)) if start == 0 else b""
        return opening + encode(Closed(0, self.result)) + pad()


@dataclass(slots=True)
class DaemonJob:
    """One attempt: its folder, and where it stands."""

    folder: JobFolder
    _state: DaemonJobState
    limits: JobLimits = JobLimits()
    gpus: frozenset[str] = frozenset()  # UUIDs of those that it has
    event_apart: EventApart | None = None  # it begins when all of that is here
    shares_gpus: bool = False  # others may be on them
    has_begun: asyncio.Event = field(default_factory=asyncio.Event)  # or will not any more
    has_ended: asyncio.Event = field(default_factory=asyncio.Event)  # its processes too
    is_complete: bool = False  # the server has all of it
    fate: Fate | None = None
    trouble: str = ""  # why it fails though nobody wants its end: one of its GPUs broke
    spoil: str = ""  # what was done to its folder, until that is settled
    last_word: LastWord | None = None
    journal: JournalTail = field(init=False)
    _calls: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.journal = JournalTail(self.folder.journal)

    @property
    def key(self) -> tuple[str, int]:
        """(job, lease): what every message names."""
        return self.folder.job, self.folder.lease

    @property
    def state(self) -> DaemonJobState:
        """Where it stands."""
        return self._state

    def become(self, state: DaemonJobState) -> None:
        """Go on to `state`. Raises ImpossibleTransitionError."""
        DAEMON_JOBS.check(self._state, state)
        self._state = state

    @property
    def is_alive(self) -> bool:
        """Whether a supervisor works on it, as far as is known."""
        return self.state in (DaemonJobState.STARTING, DaemonJobState.RUNNING)

    def on_end(self, call: Callable[[], object]) -> None:
        """Have `call` called when it has ended."""
        self._calls.append(call)

    def note_end(self) -> None:
        """It has ended, and with it all its processes."""
        self.has_begun.set()
        self.has_ended.set()
        calls, self._calls = self._calls, []
        for call in calls:
            call()

    def count_journal_bytes(self) -> int:
        """How much there is to ship, for the server: of a last word alone, whatever the server may have and more."""
        if self.last_word is not None:
            return MAX_OFFSET
        try:
            return self.journal.size()
        except DamagedError as error:
            self.note_spoil(error)
            return MAX_OFFSET

    def note_spoil(self, error: DamagedError) -> None:
        """The folder is not what it was; whoever looks after the job settles it."""
        if self.state is not DaemonJobState.ENDED:
            self.spoil = self.spoil or error.what
        elif self.last_word is None:
            self.last_word = LastWord(self.folder, self.find_result(error.what))

    def find_result(self, spoil: str) -> JobResult:
        """How it ended, from what is left of an ended job's folder."""
        result: JobResult | None = None
        try:
            result = read_result(self.folder.journal) or self.folder.read_ending()
        except DamagedError as error:
            spoil = spoil or error.what
        return result or JobResult(
            Conclusion.FAILURE, failure_kind=FailureKind.INFRASTRUCTURE, message=describe_spoil(spoil)
        )


def describe_spoil(what: str) -> str:
    """The sentence for the person whose job it was."""
    return f"the job's folder was tampered with: {what}"
