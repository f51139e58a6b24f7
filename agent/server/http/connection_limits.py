"""Limits of connections: in all, and of one address as long as nobody on them has shown who they are.

A connection has proved itself when a request on it bore a good token or a signed URL, or an agent on it its identity. Then
it no longer counts against its address: a lab's agents may all come from one. All of them count in all, so that files are
left for the database and the journals. Behind the operator's proxies (`agent.server.http.proxies`) an address is the client's
that the proxy names, for as long as that request takes.

    enter --> counted under its address --prove--> counted in all only --> leave
"""

import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent.server.process.client_groups import group_of

_KEY = "agent_visit"
_MOST_FILES = 1 << 16  # more than a server can use; some systems allow a thousand times as many
_LEAST_RESERVE = 64


@dataclass(slots=True)
class Visit:
    """One connection. `address` is what it counts under; empty: under none."""

    keeper: "Doorkeeper"
    address: str = ""
    is_proxy: bool = False
    on_proven: Callable[[], None] | None = None

    def prove(self) -> None:
        """Somebody on it has shown who they are."""
        self.keeper.uncount(self)
        if self.on_proven is not None:
            self.on_proven()


class Doorkeeper:
    """Counts the connections of one server process. `most` are let in, `most_strangers` of one address before proof."""

    def __init__(self, most: int, most_strangers: int) -> None:
        self.most = most
        self.most_strangers = max(1, min(most_strangers, most // 4))
        self._inside = 0
        self._strangers: dict[str, int] = {}

    def enter(self, address: str, *, is_proxy: bool) -> Visit | None:
        """A connection from `address` begins; None: there is no room for it. A proxy's own address counts nothing."""
        visit = Visit(self, is_proxy=is_proxy)
        if self._inside >= self.most or not (is_proxy or self.count(visit, address)):
            return None
        self._inside += 1
        return visit

    def leave(self, visit: Visit) -> None:
        """The connection is over."""
        self.uncount(visit)
        self._inside -= 1

    def count(self, visit: Visit, address: str) -> bool:
        """Count `visit` under `address`; False when there are too many of it."""
        key = group_of(address)
        if self._strangers.get(key, 0) >= self.most_strangers:
            return False
        self._strangers[key] = self._strangers.get(key, 0) + 1
        visit.address = key
        return True

    def uncount(self, visit: Visit) -> None:
        """`visit` counts under no address any more."""
        if not visit.address:
            return
        self._strangers[visit.address] -= 1
        if not self._strangers[visit.address]:
            del self._strangers[visit.address]
        visit.address = ""


def hand_over(state: dict[str, Any], visit: Visit) -> dict[str, Any]:
    """The ASGI state of a connection, in which requests find its visit."""
    return {**state, _KEY: visit}


def visit_of(scope: Any) -> Visit | None:
    """The connection that a request came on; None when it came on none of ours, as in a test without sockets."""
    found: Visit | None = scope.get("state", {}).get(_KEY)
    return found


def prove(scope: Any) -> None:
    """Who sent this request has shown who they are."""
    visit = visit_of(scope)
    if visit is not None:
        visit.prove()


def make_room() -> int:
    """Take as many open files as the system gives; how many of them connections may have.

    The rest is for the database, the journals, blobs on their way, and git.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = _MOST_FILES if soft == resource.RLIM_INFINITY else min(soft, _MOST_FILES)
    return max(1, files - max(files // 3, _LEAST_RESERVE))
