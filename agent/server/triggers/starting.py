"""The start of a submission, once: its `origin.start` is the same for the same start, however often it is tried.

What started a run is noted in the transaction that makes it.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from agent.errors import UsageError
from agent.flow.problems import InvalidFlowError
from agent.ids import ENTROPY_BYTES, make_id
from agent.resolve.lock import parse_lock
from agent.server.events.changes import Changes
from agent.server.runs.runs import Runs, Submission
from agent.server.store import deliveries
from agent.server.store.deliveries import OriginRow
from agent.server.triggers.known import explain_flow_error


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

    async def start(self, submission: Submission) -> Result:
        """Start the run, unless it was started before; a flow that can't run is told as a result."""
        file, event = submission.file, submission.request.event
        try:
            return Result(file, event, run=await self.begin(submission))
        except (InvalidFlowError, UsageError) as error:
            problems = tuple(explain_flow_error(error))
            return Result(file, event, None, "it is not valid", problems, _origin(submission).commit)

    async def begin(self, submission: Submission) -> int:
        """The run, started now or before. Raises InvalidFlowError, UsageError."""
        async with self._changes.begin() as change:
            run = await deliveries.find_started(change.connection, _origin(submission).start)
            if run is None:
                run = (await self._runs.start(change, submission)).run
        return run


def pins_of(lock: str | None) -> Mapping[str, str] | None:
    """What the flow.lock beside a flow, as text, holds each `uses:` to; None: there is none. Raises UsageError."""
    return None if lock is None else parse_lock(lock, "flow.lock").pins


def _origin(submission: Submission) -> OriginRow:
    assert submission.origin is not None, "what a trigger starts has an origin"
    return submission.origin
