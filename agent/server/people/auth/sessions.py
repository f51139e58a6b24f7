"""Browsers that are signed in: a signed cookie that names a session, and what proves that a page of ours sent a form.

A session is a token of the kind `session`: random, stored as its hash, ended on the server by signing out, a new
password or a disabled user. The cookie is signed on top, so that a forged one costs no look into the database. It is
HttpOnly and SameSite=Lax, and `__Host-` bound over https. A fresh one is made at each sign-in (no fixation).

Each request that shows a cookie and changes something must also show the session's CSRF token, which only pages of
this origin can read; and none may come from a page of another origin, not even one that only reads.
"""

import hmac
import secrets
from hashlib import sha256
from urllib.parse import urlsplit

from itsdangerous import BadSignature, Signer
from starlette.requests import Request
from starlette.responses import Response

from agent.errors import RefusedError
from agent.server.people.auth.keys import derive_key
from agent.server.process.own_url import request_url

SESSION_SECONDS = 7 * 86400.0
_FORM_SECONDS = 3600
_KNOWN, _KNOWN_SECONDS = "known", 365 * 86400.0
CSRF_HEADER, CSRF_FIELD = "x-csrf-token", "csrf"


class Sessions:
    """Cookies of this server."""

    def __init__(self, signing_key: bytes) -> None:
        self._signer = Signer(derive_key(signing_key, "session-cookie/1"), digest_method=sha256)
        self._csrf_key = derive_key(signing_key, "csrf/1")

    def read(self, request: Request, name: str = "session") -> str:
        """The token in the cookie `name`; empty without one that we signed."""
        cookie = request.cookies.get(_cookie_name(request, name), "")
        try:
            return self._signer.unsign(cookie).decode()
        except (BadSignature, UnicodeError):
            return ""

    def write(
        self, request: Request, response: Response, token: str, *, name: str = "session", seconds: float
    ) -> None:
        """Let the browser keep `token` for so long."""
        response.set_cookie(
            _cookie_name(request, name),
            self._signer.sign(token).decode(),
            max_age=int(seconds),
            path="/",
            secure=is_secure(request),
            httponly=True,
            samesite="lax",
        )

    def forget(self, request: Request, response: Response, name: str = "session") -> None:
        """Let the browser drop the cookie."""
        response.delete_cookie(
            _cookie_name(request, name), path="/", secure=is_secure(request), httponly=True, samesite="lax"
        )

    def know(self, request: Request, response: Response, user: str) -> None:
        """Let the browser show later that `user` was signed in with it. It opens nothing: it only keeps strangers' guesses apart."""
        value = f"{secrets.token_urlsafe(16)}.{user.lower()}"
        self.write(request, response, value, name=_KNOWN, seconds=_KNOWN_SECONDS)

    def find_known(self, request: Request, user: str) -> str:
        """What the browser is known by in which `user` was signed in before; empty where it was not."""
        value = self.read(request, _KNOWN)
        return value if value.partition(".")[2] == user.lower() and user else ""

    def csrf_token(self, token: str) -> str:
        """What a form of the session (or of the sign-in page's own cookie) carries."""
        return hmac.new(self._csrf_key, token.encode(), sha256).hexdigest()

    def begin_form(self, request: Request, response: Response) -> str:
        """A CSRF token for a form of somebody who is not signed in yet, bound to a cookie of its own."""
        token = self.read(request, "form") or secrets.token_urlsafe(32)
        self.write(request, response, token, name="form", seconds=_FORM_SECONDS)
        return self.csrf_token(token)

    def check_csrf(self, token: str, given: str) -> None:
        """Raises RefusedError unless `given` is the CSRF token that belongs to the cookie's `token`."""
        expected = self.csrf_token(token).encode()
        if not token or not hmac.compare_digest(expected, given.encode("utf-8", "surrogatepass")):
            raise RefusedError(
                "the request does not prove that it comes from a page of this server",
                hint="open the page again; programs send a token instead of a cookie",
            )


def check_origin(request: Request) -> None:
    """Raises RefusedError for a request of a browser that a page of another origin has sent.

    Browsers say the page's origin with every request that is not a plain reading of their own, and whether it is
    another site's with every one.
    """
    origin = request.headers.get("origin")
    is_foreign = origin is not None and origin != own_origin(request)
    if is_foreign or request.headers.get("sec-fetch-site") == "cross-site":
        raise RefusedError("a page of another site may not use this browser's session here")


def is_followed_link(request: Request) -> bool:
    """Whether a browser goes to a page as a whole: somebody has followed a link, on whatever page that is."""
    headers = request.headers
    is_whole = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return request.method == "GET" and is_whole and "origin" not in headers


def own_origin(request: Request) -> str:
    """The origin that pages of this server have in the browser."""
    public_url = request.app.state.public_url
    if public_url:
        parts = urlsplit(public_url)
        return f"{parts.scheme}://{parts.netloc}"
    return request_url(request)


def is_secure(request: Request) -> bool:
    """Whether the browser reaches us by https."""
    return own_origin(request).startswith("https://")


def _cookie_name(request: Request, name: str) -> str:
    return f"__Host-flow-{name}" if is_secure(request) else f"flow-{name}"
