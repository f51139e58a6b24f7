"""Frames of an attached session on a job's control socket: `kind:u8 length:u32 payload`, big endian.

    to the supervisor    INPUT bytes   INPUT_END   SIZE rows:u16 columns:u16
    from it              OUTPUT bytes  ERROR bytes  ENDED {"exit_code": N or null, "message": TEXT}

Both ends are this machine's own user. To hang up is to leave.
"""

import asyncio
import struct
from enum import IntEnum

from agent.errors import DamagedError

FRAME_BYTES = 8 << 10  # of data in one frame

_HEAD = struct.Struct("!BI")
_SIZE = struct.Struct("!HH")
_MOST_BYTES = 64 << 10


class FrameKind(IntEnum):
    """What a frame holds. OUTPUT and ERROR are the numbers of the streams."""

    INPUT = 0
    OUTPUT = 1
    ERROR = 2
    INPUT_END = 3
    SIZE = 4
    ENDED = 5


def make_frame(kind: int, payload: bytes = b"") -> bytes:
    """A frame."""
    return _HEAD.pack(kind, len(payload)) + payload


def make_size(rows: int, columns: int) -> bytes:
    """A frame that says how large the terminal is."""
    return make_frame(FrameKind.SIZE, _SIZE.pack(rows, columns))


def read_size(payload: bytes) -> tuple[int, int]:
    """Rows and columns. Raises DamagedError."""
    if len(payload) != _SIZE.size:
        raise DamagedError("a terminal's size is two numbers")
    rows, columns = _SIZE.unpack(payload)
    return rows, columns


async def read_frame(reader: asyncio.StreamReader) -> tuple[FrameKind, bytes] | None:
    """The next frame; None when the other side has hung up. Raises DamagedError."""
    try:
        kind, length = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        if length > _MOST_BYTES:
            raise DamagedError(f"a frame of {length} bytes")
        return FrameKind(kind), await reader.readexactly(length)
    except (OSError, asyncio.IncompleteReadError):
        return None
    except ValueError:
        raise DamagedError("a frame of an unknown kind") from None
