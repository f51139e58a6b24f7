"""Stages and triggers as the shell knows them that runs them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from agent.errors import AgentError

if TYPE_CHECKING:
    from agent.job.attach.program import Program

CONFLICT = 409
Value = object  # a record: JSON data; nobody changes one that he was given


class StageError(AgentError):
    """A record can't be done by a stage, now (it is tried again) or ever (`is_final`: it is a dead letter at once).

    `after`: seconds that it is not to be tried again for at least, where somebody has said so (HTTP: Retry-After).
    """

    def __init__(self, message: str, *, is_final: bool = False, after: float = 0.0) -> None:
        super().__init__(message)
        self.is_final = is_final
        self.after = after


@dataclass(slots=True)
class Done:
    """What became of a batch.

    `values` are handed on, in order. `sources` says of each value which record of the batch it came of, as its place there;
    None: each of one, in order, none left out. A record that no value came of has ended here (a filter). `failed` has the
    places of those that failed; they are no sources.
    """

    values: Sequence[Value]
    sources: Sequence[int] | None = None
    failed: Mapping[int, StageError] = field(default_factory=dict)


class Stage(Protocol):
    """Works on batches. Stages without I/O are plain functions: `work` returns a `Done`; others give an awaitable of one.

    Raising StageError fails each record of the batch; where that would be unjust to the others, the shell gives the batch
    again, record by record, if `is_pure`. One that has `keeps_time` sees itself to what its `timeout` means.
    """

    is_pure: bool  # nothing outside is changed by `work`: it may be done again

    def work(self, batch: Sequence[Value]) -> Done | Awaitable[Done]:
        """What becomes of the records of a batch."""
        ...

    async def open(self) -> None:
        """Get ready, before the first batch. Raises AgentError."""
        ...

    async def close(self) -> None:
        """Nothing comes any more."""
        ...


class StreamPosition(NamedTuple):
    """Where a batch of a trigger ends: after it settled, this is what the trigger is told. `at` is JSON data."""

    lane: str  # an order of its own, such as a shard; empty where there is one only
    at: object


class Intake(Protocol):
    """How a trigger hands records to its flow."""

    async def emit(self, values: Sequence[Value], position: StreamPosition) -> None:
        """Hand on a batch (1 to some 1,000 records); waits while there is no room."""
        ...

    def fail(self, raw: object, position: StreamPosition, error: StageError) -> None:
        """What came in is no record (no JSON, too large): a dead letter, settled in its order."""
        ...


class TriggerStage(Protocol):
    """Brings records. What it emitted and has not been told of as settled, it brings again after a restart."""

    async def run(self, intake: Intake) -> None:
        """Bring records until there are none (then return) or until it is cancelled. Raises AgentError when it can't go on:
        it is started again, after a wait.
        """
        ...

    async def settle(self, position: StreamPosition) -> None:
        """All records of that lane up to there have ended: remember it durably. May be said again, and skips positions."""
        ...

    async def close(self) -> None:
        """The flow ends; everything that will settle has."""
        ...


class Bookmark(NamedTuple):
    """A small value that outlives the job; held by this one until it is freed or not kept for its seconds."""

    name: str
    value: object  # JSON data; None: never put
    fence: int  # grows with each holder: what comes under an old one is refused


class Bookmarks(Protocol):
    """Bookmarks of a flow, on the server, or in a folder for local runs."""

    async def take(self, name: str, seconds: float) -> Bookmark | None:
        """Hold a bookmark for so long; None: another job holds it."""
        ...

    async def keep(self, bookmark: Bookmark, seconds: float) -> bool:
        """Hold it for so long from now on; False: it is another's by now, and what it stands for must end here."""
        ...

    async def put(self, bookmark: Bookmark, value: object) -> bool:
        """Set its value, durably; False: it is another's by now."""
        ...

    async def free(self, bookmark: Bookmark) -> None:
        """Let others have it."""
        ...

    async def names(self, prefix: str) -> Sequence[tuple[str, bool]]:
        """Bookmarks that there are: their names, and whether somebody holds them."""
        ...


class StageAnswer(NamedTuple):
    """What the server said. `data` is None where there is nothing, or no JSON."""

    status: int
    data: Any

    @property
    def is_conflict(self) -> bool:
        """Whether somebody else has what was asked for."""
        return self.status == CONFLICT


class JobServer(Protocol):
    """The job's server: agent.job.stages.asking.StageServer."""

    async def post(self, path: str, body: object, query: Mapping[str, str] | None = None) -> StageAnswer:
        """The answer to a request. Raises UnreachableError, and AgentError when it is refused."""
        ...

    async def wait_for_answer(self, seconds: float) -> None:
        """After a request that was not answered: until another one is, but no longer than that."""
        ...


class StageProgram(NamedTuple):
    """A program that does a stage's work: how it is started."""

    arguments: Sequence[str]
    env: Mapping[str, str]  # beside what every process of the job has
    open: "Callable[[], Awaitable[Program]] | None" = None  # where it is not started on the machine


class Programs(Protocol):
    """What processes beside the supervisor run with: what a step's would. All of them raise AgentError."""

    async def find_python(self, folder: Path) -> str:
        """A Python with what the requirements.txt in `folder` names; without one, with nothing."""
        ...

    async def find_node(self) -> str:
        """A node."""
        ...

    async def find_shell(self, name: str, script: Path) -> Sequence[str]:
        """The words that run `script` by the shell of that name; empty: the job's usual one."""
        ...

    async def find_action(
        self, uses: str, inputs: Mapping[str, object], say: Callable[[str], None]
    ) -> StageProgram:
        """The program that an action is."""
        ...

    async def open(self, arguments: Sequence[str], env: Mapping[str, str]) -> "Program":
        """Start a program in the workspace, whose environment is a step's, and `env`."""
        ...


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage is made with."""

    name: str
    config: Mapping[str, object]  # with its secrets in it: never shown
    uses: str  # the action's reference, of `uses`
    bookmarks: Bookmarks
    server: JobServer | None  # None: a local run
    workspace: Path
    scratch: Path  # a folder of its own, gone with the job
    say: Callable[[str], None]  # a line of the stage's log, masked
    warn: Callable[[str], None]  # the same, and an annotation of the job
    now: Callable[[], float]  # seconds of the day's clock
    programs: Programs | None = None  # None: stages without I/O of their own have no use for it


class MakeStage(Protocol):
    """Makes a stage of its context. Raises AgentError when its config can't be used here (a missing library, say)."""

    def __call__(self, context: StageContext) -> Stage | TriggerStage:
        """The stage."""
        ...
