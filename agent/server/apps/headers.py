"""Headers on their way to an app and back. Pure.

The app is to believe that it is used on its own machine: `Host`, and an `Origin` or `Referer` that is the app's own, name
`127.0.0.1:PORT`, so that programs that look at these (Jupyter, Vite, Django) let people in as they are. `X-Forwarded-Host`,
`-Proto` and `-For` say how it is from outside. What lets a visitor in is ours, and no app is shown it.

Source of what is of one connection only: RFC 9110, 7.6.1.
"""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

Headers = Sequence[tuple[bytes, bytes]]

_OF_CONNECTION = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"proxy-authenticate", b"proxy-authorization"}
    | {b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
_NOT_PASSED = _OF_CONNECTION | {b"host", b"expect", b"forwarded", b"x-real-ip", b"cookie", b"authorization"}
_OURS = re.compile(rb"Bearer\s+fa_", re.IGNORECASE)  # a token of this server
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "0.0.0.0", "::1")  # noqa: S104 - names that apps have for themselves


def request_headers(
    given: Headers, *, port: int, origin: str, address: str, own_cookie: str
) -> list[tuple[bytes, bytes]]:
    """What the app at `port` is told, of what a browser said to `origin` from `address`."""
    named = _named(given)
    kept = [
        (name, _localise(name, value, origin, port))
        for name, value in given
        if name not in _NOT_PASSED and name not in named and not name.startswith(b"x-forwarded-")
    ]
    cookies = _without_cookie(given, own_cookie)
    if cookies:
        kept.append((b"cookie", cookies))
    kept += [(name, value) for name, value in given if name == b"authorization" and not _OURS.match(value)]
    outside = urlsplit(origin)
    return [
        (b"host", f"127.0.0.1:{port}".encode()),
        *kept,
        (b"x-forwarded-for", address.encode()),
        (b"x-forwarded-host", outside.netloc.encode()),
        (b"x-forwarded-proto", outside.scheme.encode()),
    ]


def response_headers(given: Headers, *, port: int, origin: str, own_cookie: str) -> list[tuple[bytes, bytes]]:
    """What the browser is told, of what the app said: redirects lead back here, cookies stay on this host."""
    named = _named(given)
    told = []
    for written, value in given:
        name = written.lower()
        if name in _OF_CONNECTION or name in named:
            continue
        if name in (b"location", b"content-location"):
            value = _lead_back(value, port, origin)
        elif name == b"set-cookie":
            if value.partition(b"=")[0].strip() == own_cookie.encode():
                continue
            value = _host_only(value)
        told.append((name, value))
    return told


def _named(headers: Headers) -> set[bytes]:
    """The headers that `Connection` says are of this connection only."""
    return {
        word.strip().lower()
        for name, value in headers
        if name.lower() == b"connection"
        for word in value.split(b",")
    }


def _localise(name: bytes, value: bytes, origin: str, port: int) -> bytes:
    """Where the app's own origin is meant, it is the one that the app knows."""
    if name not in (b"origin", b"referer"):
        return value
    own = origin.encode()
    if value.lower() == own or value.lower().startswith(own + b"/"):
        return f"http://127.0.0.1:{port}".encode() + value[len(own) :]
    return value


def _without_cookie(headers: Headers, own: str) -> bytes:
    pairs: Iterable[bytes] = (
        pair.strip() for name, value in headers if name == b"cookie" for pair in value.split(b";")
    )
    return b"; ".join(pair for pair in pairs if pair and pair.partition(b"=")[0].strip() != own.encode())


def _lead_back(value: bytes, port: int, origin: str) -> bytes:
    try:
        parts = urlsplit(value.decode("latin-1"))
        is_own = parts.scheme in ("http", "https") and parts.hostname in _LOCAL_HOSTS and parts.port == port
    except ValueError:
        return value
    if not is_own:
        return value
    rest = parts._replace(scheme="", netloc="").geturl()
    return (origin + (rest if rest.startswith("/") else f"/{rest}")).encode("latin-1")


def _host_only(cookie: bytes) -> bytes:
    """A cookie without `Domain`: none reaches the hosts of other apps."""
    parts = cookie.split(b";")
    return b";".join(part for part in parts if part.partition(b"=")[0].strip().lower() != b"domain")
