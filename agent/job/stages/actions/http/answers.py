"""HTTP answers: what one means for the record that was sent, and what is read of it."""

import json
import math
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from agent.codec import load_standard
from agent.job.stages.stage import StageError, Value

if TYPE_CHECKING:
    import httpx

MOST_BYTES: Final = 1 << 20  # of an answer that is handed on
_MOST_LET_BY: Final = 64 << 10  # of one that nobody reads, so that the connection can be kept
_MOST_SHOWN: Final = 200
_MOST_AFTER: Final = 3600.0  # seconds: who asks for more waits for the retry's own
_TRIED_AGAIN: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)


async def read_body(answer: "httpx.Response", most: int = MOST_BYTES) -> bytes:
    """The body. Raises StageError when it is longer."""
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > most:
            raise StageError(f"{_name(answer)} has answered with more than {most >> 10} KiB", is_final=True)
    return bytes(body)


async def let_by(answer: "httpx.Response") -> None:
    """Read a body that nobody wants; one that is long is not worth its connection."""
    count = 0
    async for part in answer.aiter_raw():
        count += len(part)
        if count > _MOST_LET_BY:
            return


def read_value(body: bytes) -> Value:
    """The body as JSON; as text where it is none; None where there is none."""
    if not body:
        return None
    try:
        value: Value = load_standard(body)
    except ValueError:
        return body.decode("utf-8", "replace")
    return value


async def judge(answer: "httpx.Response", now: Callable[[], float]) -> StageError | None:
    """None when the receiver has the record; else why it hasn't, and whether it is asked again.

    It is for 408, 425, 429 and what is the server's own fault; no earlier than Retry-After says (RFC 9110, 10.2.3).
    """
    if answer.is_success:
        return None
    shown = await _read_shown(answer)
    what = f"{_name(answer)} has answered {answer.status_code} {answer.reason_phrase}".rstrip()
    if answer.is_redirect:
        return StageError(
            f"{what}: it is elsewhere ({answer.headers.get('Location', '')[:_MOST_SHOWN]}); say so in `url`",
            is_final=True,
        )
    is_later = answer.is_server_error or answer.status_code in _TRIED_AGAIN
    after = _read_after(answer.headers.get("Retry-After", ""), now()) if is_later else 0.0
    return StageError(f"{what}{shown}", is_final=not is_later, after=after)


def explain(error: Exception, url: str) -> StageError:
    """A request that came to no answer."""
    what = str(error) or type(error).__name__
    return StageError(f"{_name_host(url)} can't be reached: {what}")


async def _read_shown(answer: "httpx.Response") -> str:
    """The beginning of what it says, for people."""
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > _MOST_LET_BY:
            break
    text = " ".join(bytes(body[: _MOST_SHOWN * 4]).decode("utf-8", "replace").split())
    return f": {text[:_MOST_SHOWN]}" if text else ""


def _read_after(text: str, now: float) -> float:
    """Seconds: the header has a number of them, or a date."""
    try:
        seconds = float(text) if text.strip().isdecimal() else parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), _MOST_AFTER) if math.isfinite(seconds) else 0.0


def _name(answer: "httpx.Response") -> str:
    return _name_host(str(answer.request.url))


def _name_host(url: str) -> str:
    """Whom we speak of: the path of a webhook's address is often its secret."""
    from urllib.parse import urlsplit

    return urlsplit(url).netloc.rpartition("@")[2] or "the receiver"


def dump_body(value: object) -> bytes:
    """A JSON body."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")
