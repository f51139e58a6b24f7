"""Pages that stand in for an app's: it is not there, or not for whoever asks. They lie on the app's origin, and name nothing of ours but the way back."""

from html import escape

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from agent.errors import AgentError, RefusedError, UnreachableError
from agent.server.process.problems import status_of

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_RETRY_SECONDS = 2


def error_page(request: Request, error: AgentError, own_url: str) -> Response:
    """What is wrong; where time may heal it, the page looks again by itself."""
    is_passing = isinstance(error, UnreachableError)
    more = {"Retry-After": str(_RETRY_SECONDS)} if is_passing else {}
    return _say(request, error_status(error), error.what, error.hint, own_url, more, looks_again=is_passing)


def error_status(error: AgentError) -> int:
    """The status of an answer about this: 502 where the app, not the question, is what is wrong."""
    return 502 if isinstance(error, UnreachableError) else status_of(error)


def nobody_page(request: Request, own_url: str) -> Response:
    """For who was not let in, whether there is an app or not."""
    refusal = RefusedError("the app is for who was let in", hint="open it from the page of its run")
    return _say(request, status_of(refusal), refusal.what, refusal.hint, own_url, {}, looks_again=False)


def _say(
    request: Request,
    status: int,
    what: str,
    hint: str,
    own_url: str,
    headers: dict[str, str],
    *,
    looks_again: bool,
) -> Response:
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse(
            f"{what}; {hint}\n" if hint else f"{what}\n", status, {**_HEADERS, **headers}
        )
    again = f'<meta http-equiv="refresh" content="{_RETRY_SECONDS}">' if looks_again else ""
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8">{again}<title>{escape(what)}</title>'
        f"<h1>{escape(what)}</h1><p>{escape(hint)}</p>"
        f'<p><a href="{escape(own_url)}/status" rel="noreferrer">The server</a></p></html>'
    )
    return Response(text, status, {**_HEADERS, **headers}, "text/html; charset=utf-8")
