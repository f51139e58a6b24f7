"""Answers over HTTP, read with bounds: who answers may be hostile, or no flow-agent server at all, and answer for ever.

All of the agent and of the command line that reads an answer whole does it here. (The server's side: `agent.server.process.asking`.)
"""

import importlib.util
import socket
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
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

# The sockets that clients have opened, on which a later request's answer may come.
_KEPT: "weakref.WeakKeyDictionary[httpx.Client, list[socket.socket]]" = weakref.WeakKeyDictionary()


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

    Raises httpx's errors, and UnreachableError when the answer is over `most_bytes`, or does not end in `answer_seconds` from when
    the request was sent.
    """
    deadline = _Deadline(answer_seconds)
    with _open(deadline, method, url, client, more) as response:
        content = read_content(response, most_bytes=most_bytes, answer_seconds=answer_seconds)
    return Answer(response.status_code, response.headers, content)


@contextmanager
def open_answer(
    method: str,
    url: str,
    *,
    client: "httpx.Client | None" = None,
    head_seconds: float = _ANSWER_SECONDS,
    **more: Any,
) -> "Iterator[httpx.Response]":
    """An answer of which the head is here, to be read in pieces (`read_lines`); redirects are not followed unless `more` says so.

    Raises httpx's errors, and UnreachableError when the head does not end in `head_seconds` from when the request was sent.
    """
    deadline = _Deadline(head_seconds)
    with _open(deadline, method, url, client, more) as response:
        deadline.lift()
        yield response


def ask_place(url: str, seconds: float) -> tuple[int, Mapping[str, str]]:
    """The status of a GET and its headers, with names in lower case; nothing of the answer's content is read. Raises as `open_answer`."""
    with open_answer("GET", url, head_seconds=seconds, timeout=seconds) as response:
        return response.status_code, dict(response.headers)


class _Deadline:
    """Cuts the connection that an answer comes on when its time is over.

    httpx's own times are those of each read: a head of which a byte comes now and then has no end. What it opens and sends it
    tells (the extension `trace`), and only there: a connection that was kept is known from the request that opened it.
    """

    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._seconds = seconds
        self._sockets: list[socket.socket] = []
        self._timer: threading.Timer | None = None

    def note(self, event: str, facts: Mapping[str, Any]) -> None:
        """What httpx is doing."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._sockets.append(facts["return_value"].get_extra_info("socket"))
        elif ".send_request_body." in event and not event.endswith(".started") and self._timer is None:
            self._timer = threading.Timer(self._seconds, self._cut)
            self._timer.daemon = True
            self._timer.start()

    def use(self, client: "httpx.Client | None") -> None:
        """Of these sockets, too, the answer may come on one: those that `client` has kept."""
        if client is not None:
            kept = _KEPT.get(client, [])
            self._sockets = _KEPT[client] = [one for one in kept if one.fileno() >= 0]

    def lift(self) -> None:
        """It holds no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _cut(self) -> None:
        self.is_over = True
        for one in self._sockets:
            with suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # not SSLSocket's: another thread reads from it


@contextmanager
def _open(
    deadline: _Deadline, method: str, url: str, client: "httpx.Client | None", more: dict[str, Any]
) -> "Iterator[httpx.Response]":
    import httpx

    deadline.use(client)
    more = {"follow_redirects": False, **more, "headers": {**_AS_IT_IS, **(more.get("headers") or {})}}
    more["extensions"] = {**(more.get("extensions") or {}), "trace": deadline.note}
    try:
        with (
            nullcontext(client) if client else httpx.Client() as asking,
            asking.stream(method, url, **more) as response,
        ):
            yield response
    except httpx.HTTPError:
        if not deadline.is_over:
            raise
    finally:
        deadline.lift()
    if deadline.is_over:  # also where an answer without a length seems whole when it is cut
        base = httpx.URL(url) if client is None else client.base_url.join(url)
        raise _endless(base, "does not come to an end")


@cache
def give_up_on_sniffio() -> None:
    """Have httpcore's `import sniffio` fail at once where there is none: for processes that ask over HTTP with asyncio.

    It tries anew at each lock that it makes, several of them a request; a search through all of the path each time was more than half of
    what a request costs. None among the modules ends a search at once (docs.python.org, The import system, 5.3.1).
    """
    if importlib.util.find_spec("sniffio") is None:
        sys.modules["sniffio"] = None  # type: ignore[assignment]


def read_content(
    response: "httpx.Response", *, most_bytes: int = SMALL_BYTES, answer_seconds: float = _ANSWER_SECONDS
) -> bytes:
    """What a response that has begun holds. Raises as `ask`."""
    content = bytearray()
    deadline = time.monotonic() + answer_seconds
    for chunk in response.iter_raw():  # in pieces of one size httpx would gather slow bytes for ever
        content += chunk
        if len(content) > most_bytes:
            raise _endless(response.url, f"is over {most_bytes} bytes")
        if time.monotonic() > deadline:
            raise _endless(response.url, "does not come to an end")
    return bytes(content)


def read_lines(response: "httpx.Response") -> Iterator[str]:
    """The lines of a response that goes on, as they come. Raises httpx's errors, and UnreachableError for a line without end."""
    rest = bytearray()
    for chunk in response.iter_raw():
        rest += chunk
        *lines, left = rest.split(b"\n")
        rest = bytearray(left)
        if len(rest) > _LONGEST_LINE_BYTES:
            raise _endless(response.url, "has a line that does not come to an end")
        yield from (line.removesuffix(b"\r").decode("utf-8", "replace") for line in lines)


def _endless(url: "httpx.URL", what: str) -> UnreachableError:
    return UnreachableError(
        f"what the server answers {what}",
        where=f"{url.scheme}://{url.netloc.decode()}",
        hint="check the URL, and what stands between",
    )
