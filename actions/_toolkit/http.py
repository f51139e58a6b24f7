"""HTTP that survives a bad network: what may work a second time is tried again, a download goes on where it broke off.

A URL may carry its own permission in its query (a signed URL), so messages show it without.
"""

import hashlib
import http.client
import os
import random
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, TypeAlias
from urllib.parse import urlsplit

from _toolkit.step import StepError, human, say

# Between tries; ten minutes in all: days of training do not end for a server that is away for a while.
DELAYS_SECONDS = (0.2, 0.8, 3.0, *[10.0] * 60)
TIMEOUT_SECONDS = 60.0  # of silence
PROGRESS_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_ANSWER = 16 << 20

Body: TypeAlias = bytes | Sequence[bytes | memoryview]


class HttpError(StepError):
    """The other side answered, and not as was hoped. `body` is what it said."""

    def __init__(self, what: str, status: int, body: bytes = b"", hint: str = "") -> None:
        super().__init__(what, hint)
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer that was not an error."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def request(
    method: str, url: str, body: "Body | None" = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """Send one request, again where that may help. Raises HttpError when the answer is an error, StepError when none comes.

    A body in pieces needs its length in `headers`. An answer that breaks off is none.
    """
    for delay in (*DELAYS_SECONDS, None):
        try:
            with _open(method, url, body, headers or {}) as response:
                return _read_whole(response)
        except (HttpError, OSError, http.client.HTTPException) as error:
            _wait_or_raise(error, delay, url)
    raise AssertionError("the last delay is None, and raises")


def send_file(url: str, file: Path, headers: Mapping[str, str] | None = None) -> None:
    """PUT the bytes of `file`, again where that may help. Raises as `request`."""
    for delay in (*DELAYS_SECONDS, None):
        try:
            with file.open("rb") as body:
                length = str(os.fstat(body.fileno()).st_size)
                with _open("PUT", url, body, {**(headers or {}), "Content-Length": length}) as response:
                    response.read(_LONGEST_ANSWER)
            break
        except (HttpError, OSError, http.client.HTTPException) as error:
            _wait_or_raise(error, delay, url)


def download(url: str, target: Path, headers: Mapping[str, str] | None = None) -> str:
    """Write what is at `url` to the new file `target`; gives the contents' SHA-256 in hex.

    A broken connection is taken up again at the byte where it broke.
    """
    with target.open("xb") as file:
        for delay in (*DELAYS_SECONDS, None):
            before = file.tell()
            try:
                _download_rest(url, file, headers or {})
                break
            except (HttpError, OSError, http.client.HTTPException) as error:
                # What came is progress: only a try that brought nothing counts as one that failed.
                _wait_or_raise(error, delay if file.tell() == before else delay or DELAYS_SECONDS[0], url)
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_whole(response: http.client.HTTPResponse) -> Answer:
    body, length = response.read(_LONGEST_ANSWER), response.headers.get("Content-Length", "")
    if length.isdigit() and len(body) < min(int(length), _LONGEST_ANSWER):
        raise ConnectionResetError("the connection broke off")
    return Answer(response.status, response.headers, body)


def bare(url: str) -> str:
    """The URL as it may be shown."""
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _download_rest(url: str, file: IO[bytes], headers: Mapping[str, str]) -> None:
    start = file.tell()
    range_header = {"Range": f"bytes={start}-"} if start else {}
    with _open("GET", url, None, {**headers, **range_header, "Accept-Encoding": "identity"}) as response:
        if start and response.status != 206:  # it knows no ranges: from the beginning, then
            file.seek(0)
            file.truncate()
        length = response.headers.get("Content-Length", "")
        expected = int(length) if length.isdigit() else None
        got = 0
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            got += len(chunk)
            if file.tell() // PROGRESS_BYTES > (file.tell() - len(chunk)) // PROGRESS_BYTES:
                say(f"{human(file.tell())} downloaded")
        if expected is not None and got < expected:
            raise ConnectionResetError("the connection broke off")


def _open(
    method: str, url: str, body: "Body | IO[bytes] | None", headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    if urlsplit(url).scheme not in {"http", "https"}:
        raise StepError(f"'{bare(url)}' is no http address")
    prepared = urllib.request.Request(url, data=body, headers=dict(headers), method=method)
    if body is not None and not prepared.has_header("Content-type"):
        prepared.add_header("Content-Type", "application/octet-stream")
    try:
        response: http.client.HTTPResponse = _OPENER.open(prepared, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            said = error.read(_LONGEST_ANSWER)
        raise _RefusedError(
            f"{bare(url)} answered {error.code} {error.reason}", error.code, said, error.headers
        ) from None
    if method != "HEAD" and not _has_whole_head(response):
        response.close()
        raise ConnectionResetError("the connection broke off in the head of the answer")
    return response


def _has_whole_head(response: http.client.HTTPResponse) -> bool:
    """Whether the head came to its end: http.client takes one that was cut off for a whole one, of an answer without content.

    A whole one of HTTP/1.1 says how its content ends (RFC 9112, section 6.3).
    """
    headers = response.headers
    says_end = {"content-length", "transfer-encoding"} & {name.lower() for name in headers}
    closes = headers.get("Connection", "").lower() == "close"
    return bool(says_end) or closes or response.version < 11 or response.status in (204, 304)


class _RefusedError(HttpError):
    def __init__(self, what: str, status: int, body: bytes, headers: Message) -> None:
        super().__init__(what, status, body)
        after = headers.get("Retry-After", "")
        self.after_seconds = min(float(after), 60.0) if after.isdigit() else 0.0


def _wait_or_raise(error: Exception, delay: float | None, url: str) -> None:
    """Wait before the next try, or raise when there is none or it would not help."""
    if isinstance(error, HttpError) and error.status not in _AGAIN:
        raise error
    if delay is None:
        if isinstance(error, HttpError):
            raise error
        reason = getattr(error, "reason", None) or error
        raise StepError(
            f"{bare(url)} can't be reached: {reason}", "is the server up, and reachable from here?"
        ) from None
    wait = max(delay * random.uniform(0.5, 1.5), getattr(error, "after_seconds", 0.0))  # noqa: S311  (not for secrets)
    say(f"trying again in {wait:.1f} s: {error}")
    time.sleep(wait)


class _SameOriginOnly(urllib.request.HTTPRedirectHandler):
    """A permission is for one server: it doesn't follow a redirect to another."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is not None and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            following.remove_header("Authorization")
        return following


_OPENER = urllib.request.build_opener(_SameOriginOnly)
