"""A network bridge of our own for a container engine of our own.

Two engines with the same bridge hand out the same addresses, and one that was killed leaves its containers' ends there.
"""

import errno
import fcntl
import socket
import struct
from dataclasses import dataclass

# linux/sockios.h and linux/if.h
_ADD_BRIDGE, _REMOVE_BRIDGE = 0x89A0, 0x89A1
_SET_FLAGS, _SET_ADDRESS, _SET_MASK = 0x8914, 0x8916, 0x891C
_UP = 1


@dataclass(frozen=True)
class Bridge:
    """One that is up, with an address in a network that no other of ours has."""

    name: str


def add_bridge() -> Bridge:
    """Raises OSError."""
    for number in range(256):
        bridge = Bridge(f"flow-test{number}")
        try:
            _ask(_ADD_BRIDGE, bridge.name.encode() + b"\0")
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
            continue
        _ask(_SET_ADDRESS, _request(bridge, _address(f"10.213.{number}.1")))
        _ask(_SET_MASK, _request(bridge, _address("255.255.255.0")))
        _ask(_SET_FLAGS, _request(bridge, struct.pack("H22x", _UP)))
        return bridge
    raise OSError(errno.EADDRINUSE, "256 killed test runs left a bridge each; `ip link del flow-test0`, …")


def remove_bridge(bridge: Bridge) -> None:
    """Raises OSError."""
    _ask(_SET_FLAGS, _request(bridge, struct.pack("H22x", 0)))
    _ask(_REMOVE_BRIDGE, bridge.name.encode() + b"\0")


def _request(bridge: Bridge, value: bytes) -> bytes:
    return struct.pack("16s24s", bridge.name.encode(), value)


def _address(text: str) -> bytes:
    return struct.pack("HH4s16x", socket.AF_INET, 0, socket.inet_aton(text))


def _ask(request: int, argument: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, request, argument)
