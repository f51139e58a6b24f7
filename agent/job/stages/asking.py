"""Asking the job's server, over HTTP, with the job's token."""

import asyncio
import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.errors import AgentError, UnreachableError
from agent.job.stages.clients import make_client
from agent.job.stages.stage import CONFLICT, StageAnswer

if TYPE_CHECKING:
    import httpx

_ANSWER_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_WHOLE_SECONDS = 60.0  # for all of an answer: one may come byte by byte
_MOST_BYTES = (
    32 << 20
)  # of an answer; the server hands out 4 MiB of records at a time, which as JSON may be six times that


class ServerPlace(NamedTuple):
    """Where the job's server is, for what asks it."""

    url: str
    token: str  # the job's: never shown


class StageServer:
    """The server, as the stages of a job ask it. A connection for each request that is on its way at the same time, kept open."""

    def __init__(self, place: ServerPlace) -> None:
        self._place = place
        self._client: httpx.AsyncClient | None = None
        self._is_there = asyncio.Event()  # it has answered since it last did not

    async def post(self, path: str, body: object, query: Mapping[str, str] | None = None) -> StageAnswer:
        """The answer to a request with JSON, or lines of it (bytes). Raises UnreachableError, and AgentError when it is refused."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/x-ndjson" if isinstance(body, bytes) else "application/json"
        return await self._send(
            "POST", path, content=content, headers={"Content-Type": kind}, params=query or {}
        )

    async def get(self, path: str, query: Mapping[str, str]) -> StageAnswer:
        """The answer to a question. Raises as `post`."""
        return await self._send("GET", path, params=query)

    async def wait_for_answer(self, seconds: float) -> None:
        """After a request that was not answered: until another one is, but no longer than that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_there.wait()

    async def close(self) -> None:
        """Nothing is asked any more."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _send(self, verb: str, path: str, **said: Any) -> StageAnswer:
        try:
            answer = await self._ask(verb, path, **said)
        except UnreachableError:
            self._is_there.clear()
            raise
        self._is_there.set()
        return answer

    async def _ask(self, verb: str, path: str, **said: Any) -> StageAnswer:
        import httpx

        if self._client is None:
            headers = {"Authorization": f"Bearer {self._place.token}", "Accept-Encoding": "identity"}
            timeout = httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
            self._client = make_client(headers=headers, timeout=timeout)
        url = f"{self._place.url.rstrip('/')}/api/v1/stages/{path}"
        try:
            async with asyncio.timeout(_WHOLE_SECONDS), self._client.stream(verb, url, **said) as answer:
                content = await read_bounded(answer, _MOST_BYTES)
        except (httpx.HTTPError, TimeoutError) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}".rstrip(": "), where=url) from None
        data = _parse(content)
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise UnreachableError(f"the server answers {answer.status_code}", where=url)
        if answer.status_code >= 400 and answer.status_code != CONFLICT:
            detail = data.get("detail", "") if isinstance(data, dict) else ""
            raise AgentError(f"the server answers {answer.status_code}: {detail}".rstrip(": "), where=url)
        return StageAnswer(answer.status_code, data)


async def read_bounded(answer: "httpx.Response", most_bytes: int) -> bytes:
    """All that an answer holds. Raises UnreachableError when it is more than that."""
    content = bytearray()
    async for part in answer.aiter_bytes():
        content += part
        if len(content) > most_bytes:
            raise UnreachableError(f"an answer is over {most_bytes} bytes", where=str(answer.url))
    return bytes(content)


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except (ValueError, RecursionError):
        return None
