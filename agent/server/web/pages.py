"""Pages: a template with everything escaped, and headers that let nothing foreign act in it."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from agent.errors import AgentError, NotFoundError
from agent.server.http.call import Call
from agent.server.http.operation import ANY, Media, Operation
from agent.server.people.auth.access import Access
from agent.server.process.problems import status_of, title_of
from agent.server.web.text import plain_text

HTML = Media("text/html")
_HERE = Path(__file__).parent
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with less, browsers would not say the origin of our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_QUALITY = re.compile(r"[01](\.\d{0,3})?")
_STATIC = {"style.css": "text/css", "live.js": "text/javascript"}


def render(call: Call, template: str, status: int = 200, **values: object) -> Response:
    """A page. Templates see `user` (a name; empty: nobody is signed in), `csrf` for their forms, and `values`."""
    token = call.rooms.people.sessions.read(call.request)
    known = {
        "user": call.caller.name,
        "csrf": call.rooms.people.sessions.csrf_token(token) if token and call.caller.name else "",
    }
    return render_plain(template, status, **{**known, **values})


def render_plain(template: str, status: int = 200, **values: object) -> Response:
    """A page that is nobody's."""
    shown = {"user": "", "csrf": "", **values}
    text = _templates().get_template(template).render(shown)
    return Response(text, status, media_type="text/html; charset=utf-8", headers=_HEADERS)


def wants_page(request: Request) -> bool:
    """Whether a browser shows the answer to a person: it asks for HTML, and for nothing that it would rather have.

    Programs that take anything get problem details (RFC 9110, 12.5.1: a quality of 0 is a no).
    """
    if request.method not in ("GET", "HEAD"):
        return False
    wanted = dict(_read_range(part) for part in request.headers.get("accept", "").split(","))
    html = max(wanted.get(kind, 0) for kind in ("text/html", "application/xhtml+xml"))
    data = max(wanted.get(kind, 0) for kind in ("application/json", "application/problem+json"))
    return html > 0 and html >= data


def _read_range(text: str) -> tuple[str, float]:
    kind, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    return kind, float(quality) if _QUALITY.fullmatch(quality) else 0


def page_of(error: AgentError) -> Response:
    """`error` as a page."""
    return error_page(status_of(error), error.what, error.hint)


def error_page(
    status: int, what: str, hint: str = "", *, request_id: str = "", headers: Mapping[str, str] | None = None
) -> Response:
    """A page that says what did not work, and leads back."""
    title = title_of(status)
    page = render_plain("error.html", status, title=title, what=what, hint=hint, request_id=request_id)
    page.headers.update(headers or {})
    return page


def redirect(path: str, headers: Mapping[str, str] | None = None) -> RedirectResponse:
    """On to another page of ours, with GET."""
    return RedirectResponse(path, 303, headers={"Cache-Control": "no-store", **(headers or {})})


async def show_static(call: Call) -> Response:
    """A file that pages need; there are only these."""
    name = call.text("file")
    if name not in _STATIC:
        raise NotFoundError("there is no such file")
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "public, max-age=300"}
    return Response((_HERE / "static" / name).read_bytes(), media_type=_STATIC[name], headers=headers)


@cache
def _templates() -> Environment:
    loader = FileSystemLoader(_HERE / "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, finalize=plain_text)


OPERATIONS = (
    Operation(
        "GET",
        "/static/{file}",
        Access.PUBLIC,
        show_static,
        answers={200: ANY},
        documented=False,
    ),
)
