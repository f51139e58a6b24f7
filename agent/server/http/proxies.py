"""Trusted proxies of the operator's, in front: what they say of who asks is believed, and nobody else's word.

A proxy that is trusted (`AGENT_TRUSTED_PROXIES`) names the client in a header, to whose list each one on the way adds
whom it was asked by. The list is read from its end: the first address that is no trusted proxy's is the client, and
what stands before it is the client's own claim. Only one header is read (`AGENT_PROXY_HEADER`), since proxies hand on
the others as strangers wrote them: `X-Forwarded-For` with `X-Forwarded-Proto`, or `Forwarded` (RFC 7239).
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.errors import UsageError

X_FORWARDED, FORWARDED = "X-Forwarded-For", "Forwarded"
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_OVER_WEBSOCKET = {"http": "ws", "https": "wss"}
# The elements of a `Forwarded`, and the pairs of an element: what is quoted does not divide them.
_ELEMENT = re.compile(r'(?:[^,"]|"[^"]*")+')
_PAIR = re.compile(r'(?:[^;"]|"[^"]*")+')
_NODE = re.compile(r"\[(?P<six>[^\]]+)\](?::\w+)?|(?P<four>[0-9.]+)(?::\w+)?|(?P<bare>[0-9A-Fa-f:.]+)")

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Hop:
    """What a proxy says of one that asked it: its address, None where that is not said; and by which scheme, or empty."""

    address: str | None
    scheme: str = ""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The networks of the operator's proxies, and the header by which these say who asks."""

    networks: tuple[_Network, ...] = ()
    header: str = X_FORWARDED

    def find_client(self, peer: str, headers: Headers) -> Hop:
        """Who asks, when `peer` is at the other end of the connection."""
        found = Hop(peer)
        if not self.is_trusted(peer):
            return found
        for hop in self._hops(headers):
            if hop.address is None:  # hidden or unreadable: what is known is who said so
                return Hop(found.address, hop.scheme or found.scheme)
            found = Hop(hop.address, hop.scheme or found.scheme)
            if not self.is_trusted(hop.address):
                break
        return found

    def is_trusted(self, text: str) -> bool:
        """Whether the address `text` is one of the operator's proxies."""
        plain = read_address(text) if self.networks else None
        if plain is None:
            return False
        address = ipaddress.ip_address(plain)
        return any(address in network for network in self.networks)

    def _hops(self, headers: Headers) -> Iterator[Hop]:
        """The way back from us, nearest first."""
        if self.header == FORWARDED:
            yield from map(_read_element, _elements(",".join(headers.getlist(FORWARDED))))
            return
        schemes = _words(headers.getlist("X-Forwarded-Proto"))
        for place, word in enumerate(_words(headers.getlist(X_FORWARDED))):
            scheme = schemes[min(place, len(schemes) - 1)] if schemes else ""
            yield Hop(read_address(word), _SCHEMES.get(scheme.lower(), ""))


class BehindProxies:
    """Lets `app` see the client's address and scheme as if there were no proxies."""

    def __init__(self, app: ASGIApp, proxies: TrustedProxies) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with what the proxies said."""
        client = scope.get("client")
        if scope["type"] in ("http", "websocket") and client:
            found = self._proxies.find_client(client[0], Headers(scope=scope))
            if found.address != client[0]:
                scope["client"] = (found.address, 0)
            if found.scheme:
                is_socket = scope["type"] == "websocket"
                scope["scheme"] = _OVER_WEBSOCKET[found.scheme] if is_socket else found.scheme
        await self._app(scope, receive, send)


def read_proxies(networks: str, header: str = X_FORWARDED) -> TrustedProxies:
    """Proxies from their networks in text, with commas or spaces. Raises UsageError."""
    names = {name.lower(): name for name in (X_FORWARDED, FORWARDED)}
    if header.lower() not in names:
        raise UsageError(
            f"proxies don't say by '{header}' who asks",
            where="AGENT_PROXY_HEADER",
            hint=f"it is {X_FORWARDED} or {FORWARDED}",
        )
    return TrustedProxies(tuple(map(_read_network, re.findall(r"[^\s,]+", networks))), names[header.lower()])


def read_address(text: str) -> str | None:
    """The address of `1.2.3.4`, `1.2.3.4:567`, `2001:db8::1`, `[2001:db8::1]:567`; None when it is none."""
    match = _NODE.fullmatch(text.strip().partition("%")[0])
    if match is None:
        return None
    try:
        address = ipaddress.ip_address(match["six"] or match["four"] or match["bare"])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _read_network(text: str) -> _Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise UsageError(
            f"this is no network: {error}", where="AGENT_TRUSTED_PROXIES", hint="write 10.0.0.0/8 or 10.1.2.3"
        ) from None
    if network.prefixlen == 0:
        raise UsageError(
            "everybody would be a trusted proxy, and could be anybody",
            where=f"AGENT_TRUSTED_PROXIES: {text}",
            hint="name the networks of your proxies",
        )
    return network


def _words(lines: Iterable[str]) -> Sequence[str]:
    """The words of a list that may stand in several lines, the last one first."""
    return [word.strip() for word in ",".join(lines).split(",") if word.strip()][::-1]


def _elements(text: str) -> Iterator[str]:
    """The elements of a `Forwarded`, the last one first.

    Read from its end: there stands what the nearest proxy wrote, and a quote that a client has left open can't reach it.
    """
    return (match[0][::-1] for match in _ELEMENT.finditer(text[::-1]))


def _read_element(text: str) -> Hop:
    """One element of a `Forwarded`: `for=192.0.2.60;proto=https`, `for="[2001:db8::1]:4711"`."""
    said: dict[str, str] = {}
    for pair in _PAIR.findall(text):
        name, _, value = pair.partition("=")
        said[name.strip().lower()] = value.strip().strip('"')
    return Hop(read_address(said.get("for", "")), _SCHEMES.get(said.get("proto", "").lower(), ""))
