"""Claims: how two agents of one machine notice that both offer a GPU. Who comes second says so; nobody is refused anything.

A claim is an abstract unix socket that is named by the GPU's UUID: there is no file that somebody could put in our way or leave
behind, and it goes with its process. Whoever wants to can hold one; all that does is have us warn of them. Agents in containers with
a network of their own do not see each other.
"""

import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress

from agent.user_folders import user_name

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: unix(7), SO_PEERCRED


class GpuClaims:
    """The claims of this process."""

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}

    def claim(self, gpus: Iterable[str]) -> dict[str, str]:
        """Claim these GPUs, by UUID, and no others; gives who has claimed some of them before."""
        wanted = set(gpus)
        for listener in self._held.values():
            _let_in(listener)
        for uuid in self._held.keys() - wanted:
            self._held.pop(uuid).close()
        others: dict[str, str] = {}
        for uuid in sorted(wanted - self._held.keys()):
            listener = socket.socket(socket.AF_UNIX)
            try:
                listener.bind(_name(uuid))
                listener.listen(8)
                listener.setblocking(False)
            except OSError:
                listener.close()
                if other := find_claimant(uuid):
                    others[uuid] = other[1]
            else:
                self._held[uuid] = listener
        return others


def _let_in(listener: socket.socket) -> None:
    """Whoever has asked since, and wanted no more than to know us."""
    with suppress(OSError):
        while True:
            listener.accept()[0].close()


def find_claimant(uuid: str) -> tuple[int, str] | None:
    """The process that has claimed this GPU, and in words; None: nobody."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(0)
        asking.connect(_name(uuid))
        raw = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _gid = _CREDENTIALS.unpack(raw)
        return pid, f"process {pid}, of {user_name(uid)}"
    return None


def _name(uuid: str) -> bytes:
    return b"\0flow-agent/gpu/" + os.fsencode(uuid)[:80]
