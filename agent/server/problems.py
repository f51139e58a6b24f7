"""Errors on their way out: RFC 9457 problem details, made from our own exceptions."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

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


class TooLargeError(AgentError):
    """More bytes than are allowed."""


class ConflictError(AgentError):
    """What is asked for contradicts what is there: a name that is taken, a thing that is complete."""


class UnauthorizedError(AgentError):
    """Who asks has not shown who they are."""


class TooManyError(AgentError):
    """This client has failed too often; it may try again later."""


class MalformedError(AgentError):
    """The request itself can't be read."""


# The first class that fits decides.
_STATUSES: tuple[tuple[type[AgentError], int], ...] = (
    (MalformedError, 400),
    (UnauthorizedError, 401),
    (TooLargeError, 413),
    (ConflictError, 409),
    (TooManyError, 429),
    (StaleLeaseError, 409),
    (RefusedError, 403),
    (NotFoundError, 404),
    (UsageError, 422),
    (DamagedError, 422),
    (UnreachableError, 502),
    (AgentError, 500),
)
_TITLES = {
    400: "The request can't be read",
    401: "Authentication needed",
    403: "Refused",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "Too large",
    422: "Not valid",
    429: "Too many failures",
    500: "The server failed",
    502: "Somebody else did not answer",
}
_HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "60"}}


def status_of(error: AgentError) -> int:
    """The HTTP status that says what kind of error this is."""
    return next(status for kind, status in _STATUSES if isinstance(error, kind))


def problem_of(error: AgentError) -> JSONResponse:
    """`error` as a response; an invalid flow lists each of its problems."""
    more: dict[str, object] = {}
    if isinstance(error, InvalidFlowError):
        more["problems"] = [
            {
                "file": problem.position.file,
                "line": problem.position.line,
                "column": problem.position.column,
                "severity": problem.severity.value,
                "message": problem.message,
                "hint": problem.hint,
            }
            for problem in error.problems
        ]
    detail = f"{error.what} ({error.where})" if error.where else error.what
    return problem_response(status_of(error), detail, error.hint, more)


def problem_response(
    status: int,
    detail: str,
    hint: str = "",
    more: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem-details response."""
    title = _TITLES.get(status, "Error")
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, "hint": hint}
    return JSONResponse(
        body | dict(more or {}),
        status,
        media_type="application/problem+json",
        headers={**_HEADERS.get(status, {}), **(headers or {})},
    )
