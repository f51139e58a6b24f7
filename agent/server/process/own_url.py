"""The server's own URL: what its operator says (`--public-url`), else what a request's `Host` says, which anybody may write.

A `Host` goes into answers to whom has sent it, when it has the form of one. What others will run or keep (the installer)
names none that the server does not know to be its own.
"""

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from starlette.requests import Request

from agent.errors import UsageError

_HOST = re.compile(r"(?P<name>[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(:(?P<port>[0-9]{1,5}))?")
_LARGEST_PORT = 65535


def check_own_url(url: str, setting: str) -> str:
    """`url` as it is put before paths; empty stays empty. Raises UsageError unless it is `http[s]://HOST[:PORT][/PATH]`."""
    if not url:
        return ""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    is_path = bool(re.fullmatch(r"[A-Za-z0-9._~/-]*", path))
    if scheme not in ("http", "https") or not is_host(host) or not is_path:
        raise UsageError(
            "this is no address of a server",
            where=f"{setting}: {url[:200]}",
            hint="such as https://flows.example.com",
        )
    return url.rstrip("/")


def is_host(text: str) -> bool:
    """Whether `text` can be the host, with or without a port, of an address."""
    match = _HOST.fullmatch(text)
    if match is None or (match["port"] and not 0 < int(match["port"]) <= _LARGEST_PORT):
        return False
    try:
        if match["name"].startswith("["):
            ipaddress.IPv6Address(match["name"][1:-1])
    except ValueError:
        return False
    return True


def request_url(request: Request) -> str:
    """The address that the request says it was sent to; empty when that can be none."""
    host = request.headers.get("host", "")
    return f"{request.url.scheme}://{host}" if is_host(host) else ""


def names_this_machine(request: Request) -> bool:
    """Whether the request's `Host` is known to be this machine's: its own name, or the address that the request came to."""
    name = (urlsplit(request_url(request)).hostname or "").lower()
    address = (request.scope.get("server") or ("",))[0]
    try:
        if ipaddress.ip_address(address).is_loopback and name == "localhost":
            return True
        return ipaddress.ip_address(name) == ipaddress.ip_address(address)
    except ValueError:
        return bool(name) and name == socket.gethostname().lower()


def own_path(wanted: str) -> str:
    """`wanted` when it is a path on this server, else `/`: no sign-in sends anybody elsewhere (open redirect)."""
    parts = urlsplit(wanted)
    is_path = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    is_plain = wanted.isprintable() and wanted.isascii() and "\\" not in wanted
    return wanted if is_path and is_plain and not parts.scheme and not parts.netloc else "/"
