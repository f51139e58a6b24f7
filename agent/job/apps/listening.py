"""Listeners on ports of this machine: is one there, and how is it reached?

The kernel's table of sockets says so without a connection, so that no app sees one that is nobody's. Where a port is a
container's, the engine's own proxy listens for it from the start, and hangs up on whoever comes too early: there it is tried.
"""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

_TABLES = (Path("/proc/self/net/tcp"), Path("/proc/self/net/tcp6"))
_LISTENS = "0A"
_ADDRESSES = ("127.0.0.1", "::1")
_CONNECT_SECONDS = 5.0
_HANG_UP_SECONDS = 0.3


def has_listener(port: int) -> bool:
    """Whether a program on this machine listens on the port, on whatever address."""
    wanted = f":{port:04X}"
    for table in _TABLES:
        with suppress(OSError):  # a machine without IPv6
            for line in table.read_text().splitlines()[1:]:
                _, local, _, state = line.split(maxsplit=4)[:4]
                if state == _LISTENS and local.endswith(wanted):
                    return True
    return False


async def connect(port: int) -> socket.socket:
    """A connection to whatever listens there, on the loopback address of either kind. Raises OSError."""
    refusal: OSError | None = None
    for address in _ADDRESSES:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            made = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            refusal = refusal or error
            continue
        made.setblocking(False)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
        except BaseException as error:
            made.close()
            if not isinstance(error, OSError):  # TimeoutError is one
                raise
            refusal = refusal or error
        else:
            return made
    raise refusal or ConnectionRefusedError


async def answers(port: int) -> bool:
    """Whether a connection is taken, and not hung up on at once."""
    try:
        made = await connect(port)
    except OSError:
        return False
    try:
        async with asyncio.timeout(_HANG_UP_SECONDS):
            return bool(await asyncio.get_running_loop().sock_recv(made, 1))
    except TimeoutError:
        return True
    except OSError:
        return False
    finally:
        made.close()
