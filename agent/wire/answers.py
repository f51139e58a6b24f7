"""Answers over HTTP that are no success, and what they mean to a person: for all that ask the server.

The server itself answers with problem details (RFC 9457). What is no such thing comes from something between: a proxy,
a gateway's log-in page, another server.
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from agent.errors import AgentError, NotFoundError, RefusedError, UnreachableError, UsageError

_OURS: dict[int, type[AgentError]] = {
    401: RefusedError,
    403: RefusedError,
    404: NotFoundError,
    409: RefusedError,
    422: UsageError,
}
_NEW_LOGIN = "`agent login` stores a new access token"
# What a proxy says with a page of its own: what it means, and what to do.
_BETWEEN: dict[int, tuple[type[AgentError], str, str]] = {
    401: (
        RefusedError,
        "something in front of the server asks for a log-in",
        "let its /api through, or go round it",
    ),
    403: (RefusedError, "something in front of the server refuses", "let its /api through, or go round it"),
    404: (NotFoundError, "what answered is not a flow-agent server", "check the URL, its path too"),
    407: (
        RefusedError,
        "the proxy asks for a log-in",
        "HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT, or NO_PROXY",
    ),
    413: (
        RefusedError,
        "a proxy in front of the server takes nothing as large as this",
        "raise its limit (nginx: client_max_body_size)",
    ),
    429: (UnreachableError, "something in front of the server has had too many requests", "try again later"),
    502: (
        UnreachableError,
        "a proxy answers, but the server behind it does not",
        "is `agent server` running there?",
    ),
    503: (
        UnreachableError,
        "a proxy answers, but the server behind it is not there",
        "is `agent server` running there?",
    ),
    504: (
        UnreachableError,
        "a proxy waited in vain for the server behind it",
        "is `agent server` running there?",
    ),
}


def explain_answer(
    status: int, headers: Mapping[str, str], body: bytes, url: str, *, login_hint: str = _NEW_LOGIN
) -> AgentError:
    """The error that an answer with `status`, other than 2xx, is; `headers` by their lower-case names.

    `login_hint`: what to do when the server does not know who asks.
    """
    if 300 <= status < 400:
        target = headers.get("location", "") or "nowhere"
        return RefusedError(f"the server sends us elsewhere, to {target}", where=url, hint="use that address")
    problem = _read_problem(body)
    if problem is None:
        return _explain_other(status, headers, url)
    what = str(problem.get("detail") or problem["title"])
    hint = str(problem.get("hint") or "")
    lines = problem.get("problems")
    if isinstance(lines, list):
        what += "".join(
            f"\n  {line['file']}:{line['line']}:{line['column']}: {line['message']}" for line in lines
        )
    if status == 401:
        hint = hint or login_hint
    if status in (429, 503):
        return UnreachableError(what, where=url, hint=hint or "try again later")
    return _OURS.get(status, AgentError)(what, where=url, hint=hint)


def explain_silence(kind: str, reason: str, url: str) -> UnreachableError:
    """Why nobody answered at `url`. `kind` is the name of the HTTP client's error, `reason` what it says."""
    lower = reason.lower()
    if kind == "ProxyError":
        what = f"the proxy does not let us through: {reason or kind}"
        return UnreachableError(what, where=url, hint="check HTTPS_PROXY, HTTP_PROXY and NO_PROXY")
    if "certificate verify failed" in lower:
        why = (
            re.sub(r".*certificate verify failed:? ?| \(_ssl\.c:\d+\)|\]", "", reason) or "it does not check"
        )
        return UnreachableError(
            f"the connection is not safe: the server's certificate is not trusted: {why}",
            where=url,
            hint="for a certificate of your own, name its authority in SSL_CERT_FILE",
        )
    if (
        "wrong_version_number" in lower
        or "record_layer_failure" in lower
        or "packet length too long" in lower
    ):
        return UnreachableError(
            "the connection is not safe: there is no TLS at this address",
            where=url,
            hint="write http:// if that is meant",
        )
    if "ssl" in lower or "certificate" in lower:
        return UnreachableError(
            f"the connection is not safe: {reason}", where=url, hint="check the server's TLS"
        )
    why = re.sub(r"^\[Errno -?\d+\] ", "", reason) or kind
    if kind.endswith("Timeout"):
        why = "it does not answer in time"
    return UnreachableError(
        f"the server can't be reached: {why}", where=url, hint="is `agent server` running there?"
    )


def not_ours(url: str) -> AgentError:
    """Something answered as if all were well, and it is not what this server says."""
    return AgentError(
        "what answered is not a flow-agent server", where=url, hint="check the URL, and what stands between"
    )


def _read_problem(body: bytes) -> dict[str, Any] | None:
    """The problem details; None for what is none."""
    try:
        problem = json.loads(body)
    except ValueError:
        return None
    is_problem = isinstance(problem, dict) and isinstance(problem.get("detail") or problem.get("title"), str)
    return problem if is_problem else None


def _explain_other(status: int, headers: Mapping[str, str], url: str) -> AgentError:
    """An answer that is not the server's own: its status is all that there is to go by."""
    said = f"HTTP {status} {_phrase(status)}".strip()
    found = _BETWEEN.get(status)
    if found:
        kind, what, hint = found
        return kind(f"{what} ({said})", where=url, hint=hint)
    if status >= 500:
        return UnreachableError(
            f"what answered is not a flow-agent server, or is broken ({said})",
            where=url,
            hint="check the URL; its log says why",
        )
    medium = headers.get("content-type", "").partition(";")[0]
    page = f", a page of {medium}" if medium else ""
    return AgentError(
        f"what answered is not a flow-agent server ({said}{page})",
        where=url,
        hint="check the URL, and what stands between",
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
