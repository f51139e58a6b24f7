"""The trigger `receive`: records that were sent to the flow at the server, taken from its queue there.

The server has kept them before it answered their senders. What this job takes is no other job's until the job ends; what has
settled is gone for good. A server that is away is waited for, for as long as it takes.
"""

import asyncio
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent.errors import AgentError, UnreachableError, UsageError
from agent.job.stages.asking import read_bounded
from agent.job.stages.stage import Intake, ServerPlace, StageContext, StreamPosition, Value
from agent.spec.stages import receive_path

if TYPE_CHECKING:
    import httpx

_MOST_RECORDS = 300  # at a time
_MOST_SETTLED = 1000  # in one request
_WAIT_SECONDS = 20.0  # for the first record
_ANSWER_SECONDS = 60.0
_MOST_BYTES = 32 << 20  # of an answer
_FIRST_REST_SECONDS = 0.2
_LONGEST_REST_SECONDS = 10.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})  # the same request may go well later


def make(context: StageContext) -> "Receive":
    """The trigger. Raises UsageError where there is no server that receives."""
    if context.server is None:
        raise UsageError(
            "records are received by a server, and a local run has none",
            where=context.name,
            hint="`agent flow deploy` receives them; `--event-file` gives records of a file in their place",
        )
    path = receive_path(str(context.config["path"]))
    return Receive(_QueueClient(context, context.server), path)


class _QueueClient:
    """Asks the server until it answers. Says once that it is away, and that it is back."""

    def __init__(self, context: StageContext, server: ServerPlace) -> None:
        self._say = context.say
        self._server = server
        self._client: httpx.AsyncClient | None = None
        self._is_away = False

    async def ask(self, path: str, body: Mapping[str, object], *, again: Mapping[str, object]) -> bytes:
        """The answer. A request that failed is sent again with `again` added. Raises AgentError for one that is refused."""
        rest = _FIRST_REST_SECONDS
        while True:
            try:
                status, content = await self._send(path, body)
            except UnreachableError as error:
                problem = str(error)
            else:
                if status < 300:
                    self._note_answer()
                    return content
                problem = _explain(status, content)
                if status not in _AGAIN:
                    raise AgentError(f"the server refuses this job's records: {problem}")
            if not self._is_away:
                self._is_away = True
                self._say(f"the server is away: {problem}; what it keeps is waited for")
            await asyncio.sleep(rest)
            rest = min(rest * 2, _LONGEST_REST_SECONDS)
            body = {**body, **again}

    async def close(self) -> None:
        """Nothing is asked any more."""
        if self._client is not None:
            await self._client.aclose()

    def _note_answer(self) -> None:
        if self._is_away:
            self._is_away = False
            self._say("the server is back")

    async def _send(self, path: str, body: Mapping[str, object]) -> tuple[int, bytes]:
        import httpx

        if self._client is None:
            headers = {"Authorization": f"Bearer {self._server.token}", "Accept-Encoding": "identity"}
            timeout = httpx.Timeout(_ANSWER_SECONDS, connect=10.0)
            self._client = httpx.AsyncClient(headers=headers, timeout=timeout)
        url = f"{self._server.url.rstrip('/')}/api/v1/stages/queue/{path}"
        try:
            async with self._client.stream("POST", url, json=dict(body)) as answer:
                return answer.status_code, await read_bounded(answer, _MOST_BYTES)
        except httpx.HTTPError as error:
            raise UnreachableError(f"{type(error).__name__}: {error}".rstrip(": "), where=url) from error


class Receive:
    """A `TriggerStage`. Its positions are the numbers of the batches that it took."""

    def __init__(self, client: _QueueClient, path: str) -> None:
        self._client = client
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
            self._last += 1
            self._taken[self._last] = [str(record["id"]) for record in records]
            values: list[Value] = [record["body"] for record in records]
            await intake.emit(values, StreamPosition("", self._last))

    async def settle(self, position: StreamPosition) -> None:
        """The server lets go of what has ended. Who has the turn tells of what others wait to tell, too."""
        assert isinstance(position.at, int)
        for number in [number for number in self._taken if number <= position.at]:
            self._settled += self._taken.pop(number)
        async with self._turn:
            while self._settled:
                ids = self._settled[:_MOST_SETTLED]
                await self._client.ask("settle", {"path": self._path, "ids": ids}, again={})
                del self._settled[: len(ids)]

    async def close(self) -> None:
        """What has settled was told."""
        await self._client.close()

    async def _take(self) -> Sequence[dict[str, Any]]:
        body = {
            "path": self._path,
            "most": _MOST_RECORDS,
            "wait": _WAIT_SECONDS,
            "turn": secrets.token_hex(8),
        }
        content = await self._client.ask("take", body, again={"again": True})
        try:
            records = json.loads(content)["records"]
            return [{"id": record["id"], "body": record["body"]} for record in records]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise AgentError(f"the server's answer can't be read: {error}") from None


def _explain(status: int, content: bytes) -> str:
    """What a problem says, in a line."""
    try:
        detail = json.loads(content)["detail"]
    except (ValueError, KeyError, TypeError, RecursionError):
        detail = ""
    return f"{status}: {detail}" if detail else str(status)
