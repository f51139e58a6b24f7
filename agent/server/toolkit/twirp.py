"""Twirp over JSON as GitHub's clients speak it: field names in snake_case or camelCase, 64-bit numbers as text.

Errors are always JSON `{"code", "msg"}`: the clients parse every body, and take what they can't parse for a hiccup to
be tried again.
"""

import re

import msgspec
from starlette.responses import JSONResponse

from agent.errors import AgentError
from agent.server.http.call import Call
from agent.server.process.problems import MalformedError, status_of

_CODES = {
    400: "malformed",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    409: "already_exists",
    413: "out_of_range",
    422: "invalid_argument",
    429: "resource_exhausted",
}
_CAPITAL = re.compile(r"[A-Z]")


def error_response(error: AgentError) -> JSONResponse:
    """`error` in Twirp's form."""
    status = status_of(error)
    code = _CODES.get(status, "internal")
    return JSONResponse({"code": code, "msg": str(error)}, 400 if status == 422 else status)


async def read_fields(call: Call) -> dict[str, object]:
    """The request's fields by their snake_case names. Raises MalformedError, TooLargeError."""
    fields = await call.body(dict[str, object])
    return {_CAPITAL.sub(lambda match: f"_{match[0].lower()}", name): value for name, value in fields.items()}


def text_field(fields: dict[str, object], name: str, default: str = "") -> str:
    """A text. Raises MalformedError when it is something else."""
    value = fields.get(name)
    if value is None:
        return default
    if not isinstance(value, str):
        raise MalformedError(f"'{name}' is not text")
    return value


def number_field(fields: dict[str, object], name: str) -> int | None:
    """A 64-bit number, written as text or as a number; None when it is not there. Raises MalformedError."""
    value = fields.get(name)
    if value is None:
        return None
    try:
        number = msgspec.convert(value, int, strict=False)
    except msgspec.ValidationError:
        number = -1
    if not 0 <= number < 1 << 63:
        raise MalformedError(f"'{name}' is not a number of at least 0")
    return number
