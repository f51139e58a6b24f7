"""The trigger `receive`: records that were sent to the flow at the server, taken from its queue there.

The server has kept them before it answered their senders. What this job takes is no other job's until the job ends; what has
settled is gone for good. A server that is away is waited for, for as long as it takes.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent.errors import AgentError, UnreachableError, UsageError
from agent.job.stages.stage import Intake, JobServer, StageContext, StreamPosition, Value
from agent.spec.stages import receive_path

_MOST_RECORDS = 300  # at a time
_BATCH_RECORDS = (
    50  # that settle together: while the last of them is on its way, a crash brings all of them again
)
_MOST_SETTLED = 1000  # in one request
_WAIT_SECONDS = 20.0  # for the first record
_FIRST_REST_SECONDS = 0.2
_LONGEST_REST_SECONDS = 3.0


def make(context: StageContext) -> "Receive":
    """The trigger. Raises UsageError where there is no server that receives."""
    if context.server is None:
        raise UsageError(
            "records are received by a server, and a local run has none",
            where=context.name,
            hint="`agent flow deploy` receives them; `--event-file` gives records of a file in their place",
        )
    path = receive_path(str(context.config["path"]))
    return Receive(_Queue(context.say, context.server), path)


class _Queue:
    """The queue at the server, which is asked until it answers. Says once that it is away, and that it is back."""

    def __init__(self, say: Callable[[str], None], server: JobServer) -> None:
        self._say = say
        self._server = server
        self._is_away = False

    async def ask(self, path: str, body: Mapping[str, object], *, again: Mapping[str, object]) -> Any:
        """The answer. A request that failed is sent again with `again` added. Raises AgentError for one that is refused."""
        rest = _FIRST_REST_SECONDS
        while True:
            try:
                answer = await self._server.post(f"queue/{path}", dict(body))
            except UnreachableError as error:
                if not self._is_away:
                    self._is_away = True
                    self._say(f"the server is away: {error}; what it keeps is waited for")
            else:
                if self._is_away:
                    self._is_away = False
                    self._say("the server is back")
                return answer.data
            await self._server.wait_for_answer(rest)
            rest = min(rest * 2, _LONGEST_REST_SECONDS)
            body = {**body, **again}


class Receive:
    """A `TriggerStage`. Its positions are the numbers of the batches that it took."""

    def __init__(self, queue: _Queue, path: str) -> None:
        self._queue = queue
        self._path = path
        self._taken: dict[int, list[str]] = {}  # ids by the number of their batch, in their order
        self._last = 0
        self._settled: list[str] = []
        self._turn = asyncio.Lock()

    async def run(self, intake: Intake) -> None:
        """Take records and hand them on, until cancelled."""
        while True:
            records = await self._take()
            if not records:
                continue
            for start in range(0, len(records), _BATCH_RECORDS):
                batch = records[start : start + _BATCH_RECORDS]
                self._last += 1
                self._taken[self._last] = [str(record["id"]) for record in batch]
                values: list[Value] = [record["body"] for record in batch]
                await intake.emit(values, StreamPosition("", self._last))

    async def settle(self, position: StreamPosition) -> None:
        """The server lets go of what has ended. Who has the turn tells of what others wait to tell, too."""
        assert isinstance(position.at, int)
        for number in [number for number in self._taken if number <= position.at]:
            self._settled += self._taken.pop(number)
        async with self._turn:
            while self._settled:
                ids = self._settled[:_MOST_SETTLED]
                await self._queue.ask("settle", {"path": self._path, "ids": ids}, again={})
                del self._settled[: len(ids)]

    async def close(self) -> None:
        """What has settled was told."""

    async def _take(self) -> Sequence[dict[str, Any]]:
        body = {
            "path": self._path,
            "most": _MOST_RECORDS,
            "wait": _WAIT_SECONDS,
            "turn": secrets.token_hex(8),
        }
        said = await self._queue.ask("take", body, again={"again": True})
        try:
            return [{"id": record["id"], "body": record["body"]} for record in said["records"]]
        except (KeyError, TypeError) as error:
            raise AgentError(f"the server's answer can't be read: {error}") from None
