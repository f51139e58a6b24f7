"""Whom the server speaks to on its own: git hosts and their APIs, and nobody inside by somebody else's word.

Repositories are connected by maintainers of projects, who need not be trusted with the server's own network. So an
address that is not public is refused unless the operator has named it (`AGENT_OUTSIDE_HOSTS`): a host
(`git.lab.example`, `*.lab.example`), a network (`10.0.0.0/8`), or, for `file://`, a folder (`/srv/git`). What was
checked is what is connected to: the addresses go along to git and to the HTTP client, so that a name that means
something else a moment later is of no use. Redirects are not followed.
"""

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent.errors import RefusedError, UnreachableError, UsageError
from agent.redaction import redact

_PORTS = {"https": 443, "http": 80, "ssh": 22}
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Place:
    """A URL that may be spoken to: its host with the addresses that were looked at; none for `file://`."""

    url: str
    host: str = ""
    port: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def git_options(self) -> list[str]:
        """What keeps git to these addresses."""
        options = ["-c", "http.followRedirects=false"]
        if self.addresses and not self.url.startswith("ssh:"):
            shown = ",".join(f"[{one}]" if ":" in one else one for one in self.addresses)
            options += ["-c", f"http.curloptResolve={self.host}:{self.port}:{shown}"]
        return options


def check_url(url: str) -> str:
    """`url` of a repository as it is stored. Raises UsageError for one that no git host has."""
    parts = urlsplit(url)
    if parts.scheme not in {*_PORTS, "file"} or not url.isprintable() or " " in url or url.startswith("-"):
        raise UsageError(
            "this is not the URL of a git repository",
            where=redact(url[:200]),
            hint="write it as https://HOST/OWNER/NAME or ssh://git@HOST/OWNER/NAME",
        )
    if parts.scheme != "ssh" and "@" in parts.netloc:
        raise UsageError(
            "credentials don't belong into the URL", where=redact(url), hint="give them as the token"
        )
    if parts.scheme != "file" and (not parts.hostname or parts.hostname.startswith("-")):
        raise UsageError("the URL names no host", where=redact(url))
    if parts.scheme == "ssh" and (parts.username or "").startswith("-"):
        raise UsageError("the URL's user begins with '-'", where=redact(url))
    return url.rstrip("/")


class Outside:
    """The operator's rule."""

    def __init__(self, allowed: tuple[str, ...] = ()) -> None:
        self._folders = [Path(word).resolve() for word in allowed if word.startswith("/")]
        self._networks = []
        self._hosts = []
        for word in allowed:
            try:
                self._networks.append(ipaddress.ip_network(word, strict=False))
            except ValueError:
                self._hosts.append(word.lower())

    def check(self, url: str) -> Place:
        """The place that `url` is. Looks names up, so it takes time.

        Raises RefusedError when the server may not speak to it, UnreachableError when the name is not known.
        """
        parts = urlsplit(url)
        if parts.scheme == "file":
            return self._check_file(url, unquote(parts.path))
        if parts.scheme not in _PORTS or not parts.hostname:
            raise RefusedError("the server speaks https, http and ssh only", where=redact(url))
        host, port = parts.hostname.lower(), parts.port or _PORTS[parts.scheme]
        addresses = _look_up(host, port)
        if not self._is_named(host):
            for address in addresses:
                self._check_address(host, address)
        return Place(url, host, port, addresses)

    def _check_file(self, url: str, path: str) -> Place:
        folder = Path(path).resolve()
        if not any(folder.is_relative_to(allowed) for allowed in self._folders):
            raise RefusedError(
                "the server may not read this folder",
                where=url,
                hint="its operator can allow it: AGENT_OUTSIDE_HOSTS",
            )
        return Place(url)

    def _is_named(self, host: str) -> bool:
        return any(
            host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in self._hosts
        )

    def _check_address(self, host: str, text: str) -> None:
        address = ipaddress.ip_address(text)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if address.is_global and not address.is_multicast:
            return
        if not any(address in network for network in self._networks):
            raise RefusedError(
                f"{host} is {address}, which is not a public address",
                where=host,
                hint="the server's operator can allow it: AGENT_OUTSIDE_HOSTS",
            )


def _look_up(host: str, port: int) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UnreachableError("there is no host of this name", where=host, hint="check the URL") from None
    return tuple(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in found))
