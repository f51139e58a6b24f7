"""Whom the server speaks to on its own: git hosts and their APIs, and nobody inside by somebody else's word.

Repositories are connected by maintainers of projects, who need not be trusted with the server's own network. So an
address that is not public is refused unless the operator has named it (`AGENT_OUTSIDE_HOSTS`): a host
(`git.lab.example`, `*.lab.example`), a network (`10.0.0.0/8`), or, for `file://`, a folder (`/srv/git`). What was
checked is what is connected to: the addresses go along to git and to the HTTP client, so that a name that means
something else a moment later is of no use. Redirects are not followed.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from agent.errors import RefusedError, UnreachableError, UsageError
from agent.redaction import redact
from agent.server.triggers.addresses import is_public, meant_address

_PORTS = {"https": 443, "http": 80, "ssh": 22}
# A host as it stands in a URL: dotted names in ASCII (other letters in their IDNA form), or an IPv6 address in brackets.
_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*"
)
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,63}")


@dataclass(frozen=True, slots=True)
class AllowedUrl:
    """A URL that may be spoken to: its host with the addresses that were looked at; none for `file://`."""

    url: str
    host: str = ""
    port: int = 0
    addresses: tuple[str, ...] = ()

    def pin(self, url: str) -> tuple[str, dict[str, str], dict[str, str]]:
        """`url` of this very host at the address that was checked: as httpx asks for it, with which headers and extensions."""
        address = self.addresses[0]
        shown = f"[{address}]" if ":" in address else address
        parts = urlsplit(url)
        pinned = parts._replace(netloc=f"{shown}:{self.port}").geturl()
        return pinned, {"Host": parts.netloc}, {"sni_hostname": self.host}

    @property
    def git_options(self) -> list[str]:
        """What keeps git to these addresses, where it speaks http."""
        options = ["-c", "http.followRedirects=false"]
        if self.addresses and not self.url.startswith("ssh:") and ":" not in self.host:
            shown = ",".join(f"[{one}]" if ":" in one else one for one in self.addresses)
            options += ["-c", f"http.curloptResolve={self.host}:{self.port}:{shown}"]
        return options

    @property
    def ssh_options(self) -> list[str]:
        """What keeps ssh to these addresses: to the first, since it can't be given more. The host's key is the one that
        known_hosts has for its name, for another port than 22 under `[name]:port`.
        """
        if not self.addresses or not self.url.startswith("ssh:"):
            return []
        alias = self.host if self.port == _PORTS["ssh"] else f"[{self.host}]:{self.port}"
        return [f"-oHostName={self.addresses[0]}", f"-oHostKeyAlias={alias}"]


def split_url(url: str) -> SplitResult:
    """The parts of `url`, its host as it is looked up. Raises UsageError for a host or port that there can't be."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        is_bracketed = "[" in parts.netloc
        is_known = parts.scheme == "file" or (_is_host(host, is_bracketed=is_bracketed) and parts.port != 0)
    except ValueError:  # brackets that are not closed, no address within them, a port beyond 65535
        is_known = False
    if not is_known:
        raise UsageError(
            "the URL's host or port can't be",
            where=redact(url[:200]),
            hint="write https://HOST/OWNER/NAME, with HOST:PORT a port of 1 to 65535; no dot at HOST's end, "
            "letters beyond a to z as xn--",
        )
    return parts


def _is_host(host: str, *, is_bracketed: bool) -> bool:
    if not is_bracketed:
        return bool(_NAME.fullmatch(host))
    return "%" not in host and isinstance(ipaddress.ip_address(host), ipaddress.IPv6Address)


def check_url(url: str) -> str:
    """`url` of a repository as it is stored. Raises UsageError for one that no git host has."""
    is_plain = url.isprintable() and not {" ", "\\"} & set(url) and not url.startswith("-")
    if url.partition("://")[0].lower() not in {*_PORTS, "file"} or not is_plain or "://" not in url:
        raise UsageError(
            "this is not the URL of a git repository",
            where=redact(url[:200]),
            hint="write it as https://HOST/OWNER/NAME or ssh://git@HOST/OWNER/NAME",
        )
    parts = split_url(url)
    if parts.scheme != "ssh" and "@" in parts.netloc:
        raise UsageError(
            "credentials don't belong into the URL", where=redact(url), hint="give them as the token"
        )
    if parts.scheme == "ssh" and "@" in parts.netloc and not _USER.fullmatch(parts.username or ""):
        raise UsageError("the URL's user can't be one", where=redact(url), hint="ssh://git@HOST/OWNER/NAME")
    return url.rstrip("/")


def check_api_url(url: str) -> str:
    """`url` of a host's API as it is stored. Raises UsageError for one that is no http."""
    if url.partition("://")[0].lower() not in {"http", "https"}:
        raise UsageError(
            "this is not the URL of an API", where=redact(url[:200]), hint="write it as https://HOST/PATH"
        )
    return check_url(url)


def host_of(url: str) -> str:
    """The host that `url` leads to, with its port where it says one: what waits for one waits for nobody else."""
    return urlsplit(url).netloc.rpartition("@")[2].lower()


class OutsideRule:
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

    def check(self, url: str) -> AllowedUrl:
        """The place that `url` is. Looks names up, so it takes time.

        Raises RefusedError when the server may not speak to it, UnreachableError when the name is not known.
        """
        if url.partition(":")[0].lower() not in {*_PORTS, "file"}:
            raise RefusedError("the server speaks https, http and ssh only", where=redact(url))
        parts = split_url(url)
        if parts.scheme == "file":
            return self._check_file(url, unquote(parts.path))
        host, port = (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme]
        addresses = _look_up(host, port)
        if not self._is_named(host):
            for address in addresses:
                self._check_address(host, address)
        return AllowedUrl(url, host, port, addresses)

    def _check_file(self, url: str, path: str) -> AllowedUrl:
        folder = Path(path).resolve()
        if not any(folder.is_relative_to(allowed) for allowed in self._folders):
            raise RefusedError(
                "the server may not read this folder",
                where=url,
                hint="its operator can allow it: AGENT_OUTSIDE_HOSTS",
            )
        return AllowedUrl(url)

    def _is_named(self, host: str) -> bool:
        return any(
            host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in self._hosts
        )

    def _check_address(self, host: str, text: str) -> None:
        address = ipaddress.ip_address(text)
        if is_public(address):
            return
        spellings = {address, meant_address(address)}
        if not any(one in network for one in spellings for network in self._networks):
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
