"""Asking the job's server, over HTTP, with the job's token."""

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from agent.errors import AgentError, UnreachableError
from agent.job.stages.stage import ServerPlace

if TYPE_CHECKING:
    import httpx

_ANSWER_SECONDS = 30.0
_CONNECT_SECONDS = 10.0
_WHOLE_SECONDS = 60.0  # for all of an answer: one may come byte by byte
_MOST_BYTES = 16 << 20  # of an answer; the server hands out 4 MiB of records at a time
_CONFLICT = 409


class StageAnswer(NamedTuple):
    """What the server said. `data` is None where there is nothing, or no JSON."""

    status: int
    data: Any

    @property
    def is_conflict(self) -> bool:
        """Whether somebody else has what was asked for."""
        return self.status == _CONFLICT


class StageServer:
    """The server, as the stages of a job ask it. One connection or two, kept open."""

    def __init__(self, place: ServerPlace) -> None:
        self._place = place
        self._client: httpx.AsyncClient | None = None

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

    async def close(self) -> None:
        """Nothing is asked any more."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _send(self, verb: str, path: str, **said: Any) -> StageAnswer:
        import httpx

        if self._client is None:
            headers = {"Authorization": f"Bearer {self._place.token}"}
            timeout = httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS)
            self._client = httpx.AsyncClient(headers=headers, timeout=timeout)
        url = f"{self._place.url.rstrip('/')}/api/v1/stages/{path}"
        try:
            async with asyncio.timeout(_WHOLE_SECONDS), self._client.stream(verb, url, **said) as answer:
                content = await read_bounded(answer, _MOST_BYTES)
        except (httpx.HTTPError, TimeoutError) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}".rstrip(": "), where=url) from None
        data = _parse(content)
        if answer.status_code >= 500 or answer.status_code in (408, 429):
            raise UnreachableError(f"the server answers {answer.status_code}", where=url)
        if answer.status_code >= 400 and answer.status_code != _CONFLICT:
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
