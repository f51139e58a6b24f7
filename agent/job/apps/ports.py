"""Ports of this machine, each for one job at a time.

A port is claimed by the name of an abstract unix socket, which the kernel gives to one process and takes back at its end,
however that comes: two jobs of one machine, or of two agents on it, are never given the same. Free ones are picked below
those that the kernel gives to connections (`ip_local_port_range`), where none is lost between its pick and its use.
"""

import contextlib
import errno
import random
import socket
from collections.abc import Iterable

from agent.errors import AgentError

PICKED = range(20_000, 30_000)

_TRIES = 200
_TAKEN = (errno.EADDRINUSE, errno.EACCES)


def claim_port(port: int) -> socket.socket | None:
    """Claim this very port: it is ours until what is given is closed. None when it is another job's."""
    holder = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        holder.bind(f"\0flow-agent/port/{port}")
    except OSError:
        holder.close()
        return None
    return holder


def pick_port(among: Iterable[int] | None = None) -> tuple[int, socket.socket]:
    """A port, and the claim to it: one that is no job's and that nobody listens on. Raises AgentError when there is none."""
    candidates = random.sample(PICKED, _TRIES) if among is None else among
    for port in candidates:
        if not _is_free(port):
            continue
        claim = claim_port(port)
        if claim is not None:
            return port, claim
    raise AgentError(
        f"no port is free for the job's apps, of {PICKED.start} to {PICKED.stop - 1}",
        hint="what listens there? See `ss -ltnp`",
    )


def _is_free(port: int) -> bool:
    """Whether a program may listen there, on any address."""
    with contextlib.ExitStack() as stack:
        for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - only tried
            try:
                tried = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            except OSError:  # a machine without IPv6
                continue
            if family == socket.AF_INET6:
                tried.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                tried.bind((address, port))
            except OSError as error:
                if family == socket.AF_INET6 and error.errno not in _TAKEN:
                    continue
                return False
    return True
