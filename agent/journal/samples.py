"""Samples of a job as records of its journal: what has changed since the one before, in a few bytes. Pure.

    payload = time_ms:u64le held count (code value)*count [names]

The numbers behind the time are varints (LEB128); a value is 0 where the figure can't be had any more, else its zigzag form
and one. `names` is JSON and rare: what GPUs the slots are, and which processes are on them. Codes: `agent.spec.figures`.

A sample is of the second that ends at `time_ms`. In the `held` seconds behind the sample before nothing had changed; what lies between them
and this one's second is a gap, in which nobody looked.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from agent import codec
from agent.errors import DamagedError
from agent.spec.figures import MOST_CODES

_TIME = struct.Struct("<Q")
_LONGEST = 10  # bytes of a varint: 64 bits and more are no number of ours


@dataclass(frozen=True, slots=True)
class JobSample:
    """How a job and its GPUs did in a second, as far as that is new; None: can't be told (any more)."""

    KIND: ClassVar[int] = 10
    time_ms: int
    values: Mapping[int, int | None]  # by code
    held: int = 0  # seconds
    names: Mapping[str, Any] = field(default_factory=dict)


def write_sample(sample: JobSample) -> bytes:
    """The payload of `sample`."""
    out = bytearray(_TIME.pack(sample.time_ms))
    _put(out, sample.held)
    _put(out, len(sample.values))
    for code, value in sample.values.items():
        _put(out, code)
        _put(out, 0 if value is None else ((value << 1) ^ (value >> 63)) + 1)
    if sample.names:
        out += codec.dump(sample.names).encode()
    return bytes(out)


def read_sample(payload: bytes, *, where: str) -> JobSample:
    """What `write_sample` has written. Raises DamagedError."""
    try:
        (time_ms,) = _TIME.unpack_from(payload)
        held, position = _take(payload, _TIME.size)
        count, position = _take(payload, position)
        values: dict[int, int | None] = {}
        for _ in range(min(count, MOST_CODES)):
            code, position = _take(payload, position)
            raw, position = _take(payload, position)
            values[code] = None if raw == 0 else ((raw - 1) >> 1) ^ -((raw - 1) & 1)
        names = codec.load_standard(payload[position:]) if position < len(payload) else {}
    except (IndexError, ValueError, struct.error):
        raise DamagedError("a sample is cut off or no sample", where=where) from None
    return JobSample(time_ms, values, held, names if isinstance(names, dict) else {})


def _put(out: bytearray, number: int) -> None:
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def _take(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    for place in range(position, position + _LONGEST):
        byte = data[place]
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place + 1
        shift += 7
    raise ValueError
