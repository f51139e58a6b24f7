"""From a flow and an event to a run, once: what started it is noted in the transaction that makes the run."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from agent.errors import UsageError
from agent.flow.inputs import Value
from agent.flow.problems import InvalidFlowError
from agent.ids import ENTROPY_BYTES, make_id
from agent.plan.request import RunRequest
from agent.resolve.lock import parse_lock
from agent.server.events.changes import Changes
from agent.server.runs.runs import Runs, Submission
from agent.server.store import deliveries
from agent.server.store.deliveries import OriginRow
from agent.server.store.run_branches import RunBranch
from agent.server.triggers.known import explain_flow_error
from agent.spec.job import Source

_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class WantedRun:
    """A flow that is to run. `key` is the same for the same start, however often it is tried."""

    key: str
    project: int
    file: str
    text: str
    event: str
    dialect: str | None = None
    payload: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    inputs: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    source: Source = field(default_factory=Source)
    actor: str = ""
    called: Mapping[str, str] = field(
        default_factory=dict
    )  # the texts of the flows that it calls, by reference
    lock: str | None = None  # the text of the flow.lock beside the flow
    repository: str | None = None
    delivery: int | None = None
    commit: str = ""  # that statuses are reported of
    branch: RunBranch | None = None  # that the server has found it on
    is_trusted: bool = True
    is_by_hand: bool = False
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one flow. `run` None: it did not start, `why` says it."""

    flow: str
    event: str
    run: int | None = None
    why: str = ""
    problems: tuple[str, ...] = ()
    commit: str = ""  # that is told of the problems

    def to_json(self) -> dict[str, object]:
        """As deliveries show it."""
        return {
            "flow": self.flow,
            "event": self.event,
            "run": self.run,
            "why": self.why,
            "problems": list(self.problems),
        }


def new_key() -> str:
    """An identifier for a start or a delivery that has none of its own."""
    return make_id("event", secrets.token_bytes(ENTROPY_BYTES))


class Starter:
    """Starts runs."""

    def __init__(self, changes: Changes, runs: Runs) -> None:
        self._changes = changes
        self._runs = runs

    async def start(self, wanted: WantedRun) -> Result:
        """Start the run, unless it was started before; a flow that can't run is told as a result."""
        try:
            return Result(wanted.file, wanted.event, run=await self.begin(wanted))
        except (InvalidFlowError, UsageError) as error:
            problems = tuple(explain_flow_error(error))
            return Result(wanted.file, wanted.event, None, "it is not valid", problems, wanted.commit)

    async def begin(self, wanted: WantedRun) -> int:
        """The run, started now or before. Raises InvalidFlowError, UsageError."""
        async with self._changes.begin() as change:
            run = await deliveries.find_started(change.connection, wanted.key)
            if run is None:
                run = await self._runs.start(change, _submission(wanted))
        return run


def _submission(wanted: WantedRun) -> Submission:
    wish = RunRequest(
        event_name=wanted.event,
        event=wanted.payload,
        inputs=wanted.inputs,
        source=wanted.source,
        actor=wanted.actor,
        pins=None if wanted.lock is None else parse_lock(wanted.lock, "flow.lock").pins,
        is_by_itself=not wanted.is_by_hand,
        sees_secrets=wanted.is_trusted,
    )
    origin = OriginRow(
        run=0,
        start=wanted.key,
        delivery=wanted.delivery,
        repository=wanted.repository,
        flow=wanted.file,
        commit=wanted.commit,
        is_trusted=wanted.is_trusted,
        depth=wanted.depth,
    )
    return Submission(
        wanted.file,
        wanted.text,
        wanted.dialect,
        wish,
        called=wanted.called,
        project=wanted.project,
        branch=wanted.branch,
        origin=origin,
    )
