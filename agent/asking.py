"""Answers over HTTP, read with bounds: who answers may be hostile, or no flow-agent server at all, and answer for ever.

All of the agent and of the command line that reads an answer whole does it here. (The server's side: `agent.server.process.asking`.)
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.errors import UnreachableError

if TYPE_CHECKING:
    import httpx

SMALL_BYTES = 1 << 20  # what says that something is done, or why not
_ANSWER_SECONDS = 60.0
_LONGEST_LINE_BYTES = 8 << 20
_AS_IT_IS = {
    "Accept-Encoding": "identity"
}  # a few bytes that unpack to gigabytes are not asked for, nor unpacked


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is here, all of it; `headers` by their lower-case names."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether what was asked for is done."""
        return 200 <= self.status_code < 300

    @property
    def text(self) -> str:
        """The content, as text."""
        return self.content.decode("utf-8", "replace")


def ask(
    method: str,
    url: str,
    *,
    client: "httpx.Client | None" = None,
    most_bytes: int = SMALL_BYTES,
    answer_seconds: float = _ANSWER_SECONDS,
    **more: Any,
) -> Answer:
    """The answer to a request; redirects are not followed.

    Raises httpx's errors, and UnreachableError when the answer is over `most_bytes`, or does not end in `answer_seconds` from its
    beginning.
    """
    import httpx

    more["headers"] = {**_AS_IT_IS, **(more.get("headers") or {})}
    begin = httpx.stream if client is None else client.stream
    with begin(method, url, follow_redirects=False, **more) as response:
        content = read_content(response, most_bytes=most_bytes, answer_seconds=answer_seconds)
    return Answer(response.status_code, response.headers, content)


def ask_place(url: str, seconds: float) -> tuple[int, Mapping[str, str]]:
    """The status of a GET and its headers, with names in lower case; nothing of the answer's content is read. Raises httpx's errors."""
    import httpx

    with httpx.stream("GET", url, headers=_AS_IT_IS, follow_redirects=False, timeout=seconds) as response:
        return response.status_code, dict(response.headers)


def read_content(
    response: "httpx.Response", *, most_bytes: int = SMALL_BYTES, answer_seconds: float = _ANSWER_SECONDS
) -> bytes:
    """What a response that has begun holds. Raises as `ask`."""
    content = bytearray()
    deadline = time.monotonic() + answer_seconds
    for chunk in response.iter_raw():  # in pieces of one size httpx would gather slow bytes for ever
        content += chunk
        if len(content) > most_bytes:
            raise _endless(response, f"is over {most_bytes} bytes")
        if time.monotonic() > deadline:
            raise _endless(response, "does not come to an end")
    return bytes(content)


def read_lines(response: "httpx.Response") -> Iterator[str]:
    """The lines of a response that goes on, as they come. Raises httpx's errors, and UnreachableError for a line without end."""
    rest = bytearray()
    for chunk in response.iter_raw():
        rest += chunk
        *lines, left = rest.split(b"\n")
        rest = bytearray(left)
        if len(rest) > _LONGEST_LINE_BYTES:
            raise _endless(response, "has a line that does not come to an end")
        yield from (line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines)


def _endless(response: "httpx.Response", what: str) -> UnreachableError:
    return UnreachableError(
        f"what the server answers {what}",
        where=f"{response.url.scheme}://{response.url.netloc.decode()}",
        hint="check the URL, and what stands between",
    )
