"""Errors on their way out: RFC 9457 problem details, made from our own exceptions.

A problem's `type` is `/problems/NAME` on this server: the page there says what the table here says.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from starlette.responses import Response

from agent.errors import (
    AgentError,
    DamagedError,
    NotFoundError,
    RefusedError,
    StaleLeaseError,
    UnreachableError,
    UsageError,
)
from agent.flow.problems import InvalidFlowError
from agent.server.pools import OverloadedError
from agent.server.store.failures import UnavailableError

MEDIA_TYPE = "application/problem+json"
_RETRY_SECONDS = 2  # until a database that restarts, or fails over, or a full queue, may be asked again


class TooLargeError(AgentError):
    """More bytes than are allowed."""


class ConflictError(AgentError):
    """What is asked for contradicts what is there: a name that is taken, a thing that is complete."""


class UnauthorizedError(AgentError):
    """Who asks has not shown who they are."""


class UnknownDoorError(RefusedError):
    """Who sends here has not shown that they may, or nobody receives here: which of the two is nobody's business."""


class TooManyError(AgentError):
    """This client asks, or fails, too often; it may try again in `retry_seconds`."""

    def __init__(self, what: str, *, hint: str = "", retry_seconds: int = 60) -> None:
        super().__init__(what, hint=hint)
        self.retry_seconds = retry_seconds


class MalformedError(AgentError):
    """The request itself can't be read."""


class UnsupportedMediaError(AgentError):
    """The body is of a kind that is not read here."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: the page at `/problems/NAME` and docs/api.md show these."""

    name: str
    status: int
    title: str
    advice: str


KINDS = (
    Kind("malformed", 400, "The request can't be read", "Compare the request with /api/v1/openapi.json."),
    Kind("unauthorized", 401, "Authentication needed", "Send a good token; `agent login` stores one."),
    Kind("refused", 403, "Refused", "Ask somebody who has the right, or for the right."),
    Kind("not-found", 404, "Not found", "It was never there, was removed, or is not yours to see."),
    Kind("method", 405, "Method not allowed", "The header Allow lists the verbs of this path."),
    Kind("too-slow", 408, "Request Timeout", "Send the request's head and its body without long pauses."),
    Kind("conflict", 409, "Conflict", "Look at what is there now, then decide again."),
    Kind("too-large", 413, "Too large", "Send less, or have the server's limit raised."),
    Kind("media-type", 415, "Media type not supported", "Send JSON as application/json."),
    Kind(
        "invalid",
        422,
        "Not valid",
        "The request was read, but what it asks for makes no sense; see `detail`.",
    ),
    Kind("too-many", 429, "Too many requests", "Wait as long as Retry-After says."),
    Kind("head-too-large", 431, "Request head too large", "Send shorter headers and a shorter path."),
    Kind("internal", 500, "The server failed", "A bug of ours: the server's log has it under `request_id`."),
    Kind("upstream", 502, "Somebody else did not answer", "Try again later."),
    Kind(
        "unavailable",
        503,
        "Not available now",
        "Try again later; the server is starting, stopping or broken.",
    ),
)
_BY_STATUS = {kind.status: kind for kind in KINDS}

# The first class that fits decides.
_STATUSES: tuple[tuple[type[AgentError], int], ...] = (
    (MalformedError, 400),
    (UnauthorizedError, 401),
    (TooLargeError, 413),
    (UnsupportedMediaError, 415),
    (ConflictError, 409),
    (TooManyError, 429),
    (StaleLeaseError, 409),
    (OverloadedError, 503),
    (UnavailableError, 503),
    (UnknownDoorError, 404),
    (RefusedError, 403),
    (NotFoundError, 404),
    (UsageError, 422),
    (DamagedError, 422),
    (UnreachableError, 502),
    (UnavailableError, 503),
    (AgentError, 500),
)


class FlowProblem(msgspec.Struct):
    """One problem of a flow, at its place."""

    file: str
    line: int
    column: int
    severity: str
    message: str
    hint: str


class ProblemDetails(msgspec.Struct, omit_defaults=True):
    """Problem details (RFC 9457): what is wrong, and what to do. `problems` are those of an invalid flow."""

    type: str
    title: str
    status: int
    detail: str
    hint: str = ""
    request_id: str = ""
    problems: list[FlowProblem] = []


def status_of(error: AgentError) -> int:
    """The HTTP status that says what kind of error this is."""
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def title_of(status: int) -> str:
    """What problems of this status are called."""
    kind = _BY_STATUS.get(status)
    return kind.title if kind else "Error"


def problem_of(error: AgentError) -> Response:
    """`error` as a response; an invalid flow lists each of its problems."""
    detail = f"{error.what} ({error.where})" if error.where else error.what
    found = error.problems if isinstance(error, InvalidFlowError) else ()
    problems = [
        FlowProblem(
            file=problem.position.file,
            line=problem.position.line,
            column=problem.position.column,
            severity=problem.severity.value,
            message=problem.message,
            hint=problem.hint,
        )
        for problem in found
    ]
    return problem_response(status_of(error), detail, error.hint, problems, _headers_of(error))


def _headers_of(error: AgentError) -> Mapping[str, str]:
    if isinstance(error, TooManyError):
        return {"Retry-After": str(error.retry_seconds)}
    if isinstance(error, (OverloadedError, UnavailableError)):
        return {"Retry-After": str(_RETRY_SECONDS)}
    return {}


def problem_response(
    status: int,
    detail: str,
    hint: str = "",
    problems: list[FlowProblem] | None = None,
    headers: Mapping[str, str] | None = None,
    request_id: str = "",
) -> Response:
    """A problem-details response."""
    kind = _BY_STATUS.get(status)
    problem = ProblemDetails(
        type=f"/problems/{kind.name}" if kind else "about:blank",
        title=title_of(status),
        status=status,
        detail=detail,
        hint=hint,
        request_id=request_id,
        problems=problems or [],
    )
    more = {"Cache-Control": "no-store", **(headers or {})}
    if status == 401:
        more["WWW-Authenticate"] = "Bearer"
    return Response(_encode(problem), status, more, MEDIA_TYPE)


def _encode(problem: ProblemDetails) -> bytes:
    """JSON; a text of a caller that is no Unicode (a lone surrogate) is shown with question marks."""
    problem.detail = problem.detail.encode("utf-8", "replace").decode()
    return msgspec.json.encode(problem)
