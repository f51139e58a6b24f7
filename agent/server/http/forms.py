"""Forms as browsers send them without a script."""

from urllib.parse import parse_qsl

from starlette.requests import Request

from agent.server.process.problems import MalformedError, TooLargeError, UnsupportedMediaError

_LONGEST_BYTES = 64 << 10
_MOST_FIELDS = 100


def is_form(request: Request) -> bool:
    """Whether the body is a form."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media == "application/x-www-form-urlencoded"


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; it may be read again. Raises UnsupportedMediaError, TooLargeError, MalformedError."""
    if not is_form(request):
        raise UnsupportedMediaError("a form is wanted", hint="send application/x-www-form-urlencoded")
    length = request.headers.get("content-length", "")
    if not length.isascii() or not length.isdigit() or int(length[:18]) > _LONGEST_BYTES:
        raise TooLargeError(f"a form has up to {_LONGEST_BYTES} bytes, and says how many")
    try:
        text = (await request.body()).decode("ascii")
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise MalformedError("the form can't be read") from None
    if len(dict(fields)) < len(fields):
        raise MalformedError("a field of the form is given twice")
    return dict(fields)
