"""The journal's bytes: records, frames, checksums, and what a torn tail is. Pure.

    file   = MAGIC frame*
    frame  = length:u32le kind:u8 payload crc:u32le     length counts the payload, the CRC covers length..payload

The byte offset of a frame's end is the acknowledgement cursor: everything that reads or ships a journal goes on from
such an offset. A frame that is cut short is a *torn tail* (the writer was killed): it is not there, and the next
writer cuts it off. A whole frame with a wrong CRC is damage and is never skipped silently. Kinds that a reader
does not know are skipped, so that a newer writer can add one.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from agent import codec
from agent.errors import DamagedError
from agent.journal.magic import MAGIC
from agent.journal.samples import JobSample, read_sample, write_sample
from agent.spec.apps import AppState
from agent.spec.outcome import Conclusion, JobResult

MAX_PAYLOAD_BYTES = 1 << 20

_PADDING = 255  # a kind that no record has
_HEAD = struct.Struct("<IB")
_CRC = struct.Struct("<I")
_LOG = struct.Struct("<IQ")
FRAME_OVERHEAD_BYTES = _HEAD.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Opened:
    """The first record: whose journal this is."""

    KIND: ClassVar[int] = 1
    job: str
    lease: int
    time_ms: int
    machine: object = None  # what the result was made on: GPU UUIDs, driver, kernel, agent version


@dataclass(frozen=True, slots=True)
class Log:
    """A chunk of a step's output: raw bytes, already masked; chunks end anywhere, also inside a line."""

    KIND: ClassVar[int] = 2
    step: int
    time_ms: int
    data: bytes


@dataclass(frozen=True, slots=True)
class StepChanged:
    """A step began (`state` running) or ended (`state` completed; then outcome and conclusion are set)."""

    KIND: ClassVar[int] = 3
    step: int  # 0, 1, ... in the order of beginning; the same number in Log, Annotation and Summary
    id: str
    name: str
    state: str
    time_ms: int
    parent: int | None = None  # the composite step that this one is part of
    outcome: Conclusion | None = None
    conclusion: Conclusion | None = None
    seconds: float | None = None
    outputs: object = field(default_factory=dict)
    used: object = None  # of the machine, once it has ended: agent.job.sampling.use; None: too short to say


@dataclass(frozen=True, slots=True)
class Annotation:
    """A notice, warning or error with a place, for people."""

    KIND: ClassVar[int] = 4
    step: int
    level: str  # notice, warning, error, debug
    message: str
    title: str = ""
    file: str = ""
    line: int | None = None
    end_line: int | None = None
    column: int | None = None
    end_column: int | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Markdown that a step wrote to `GITHUB_STEP_SUMMARY`, masked."""

    KIND: ClassVar[int] = 5
    step: int
    text: str


@dataclass(frozen=True, slots=True)
class AppChanged:
    """An app of the job, a port that it opens for people, stands so from now on."""

    KIND: ClassVar[int] = 9
    place: int  # among the job's apps
    name: str
    state: AppState
    time_ms: int
    port: int  # as the job's steps know it
    message: str = ""  # what is wrong with it
    url: str = ""  # where it is on this machine: of local runs only


@dataclass(frozen=True, slots=True)
class FormAsked:
    """A step waits for a person: `form` is a JSON schema of what they fill in. It has been answered when the step has ended."""

    KIND: ClassVar[int] = 7
    step: int
    time_ms: int
    title: str
    form: object
    gives_back: bool = False  # nothing of the job runs meanwhile: its slot, cores, memory and GPUs are another's until the answer


@dataclass(frozen=True, slots=True)
class Closed:
    """The last record: how the attempt ended. Nothing follows it."""

    KIND: ClassVar[int] = 6
    time_ms: int
    result: JobResult


Record = Opened | Log | StepChanged | Annotation | Summary | AppChanged | FormAsked | JobSample | Closed
_JSON_KINDS: dict[int, type] = {
    kind.KIND: kind for kind in (Opened, StepChanged, Annotation, Summary, AppChanged, FormAsked, Closed)
}


def encode(record: Record) -> bytes:
    """`record` as one frame. Raises ValueError when its payload is over `MAX_PAYLOAD_BYTES`."""
    if isinstance(record, Log):
        payload = _LOG.pack(record.step, record.time_ms) + record.data
    elif isinstance(record, JobSample):
        payload = write_sample(record)
    else:
        payload = codec.dump(record).encode()
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a journal record holds at most {MAX_PAYLOAD_BYTES} bytes, not {len(payload)}")
    head = _HEAD.pack(len(payload), record.KIND)
    return b"".join((head, payload, _CRC.pack(zlib.crc32(payload, zlib.crc32(head)))))


def pad() -> bytes:
    """A frame of no known kind, which every reader skips, longer than any: what follows a record cut in the middle."""
    head = _HEAD.pack(MAX_PAYLOAD_BYTES, _PADDING)
    payload = bytes(MAX_PAYLOAD_BYTES)
    return b"".join((head, payload, _CRC.pack(zlib.crc32(payload, zlib.crc32(head)))))


def decode(data: bytes, *, offset: int = 0) -> Iterator[tuple[int, Record]]:
    """The whole records in `data`, each with the offset of its end.

    `offset` is where in the journal `data` begins: 0 (then MAGIC is expected) or a frame's end. Stops without a word
    at a torn tail. Raises DamagedError at a bad magic, length or CRC.
    """
    position = 0
    if offset == 0:
        if data[: len(MAGIC)] != MAGIC[: len(data)]:
            raise DamagedError("not a journal: it does not begin with the journal's mark", where="offset 0")
        position = len(MAGIC)
    while (end := _frame_end(data, position, offset)) is not None:
        record = _read_frame(data, position, end, offset)
        position = end
        if record is not None:
            yield offset + end, record


def whole_length(data: bytes, *, offset: int = 0) -> int:
    """How many bytes of `data` are whole frames (with MAGIC, at offset 0): where a torn tail is cut."""
    position = 0
    if offset == 0:
        if data[: len(MAGIC)] != MAGIC:
            return 0
        position = len(MAGIC)
    while (end := _frame_end(data, position, offset)) is not None:
        position = end
    return position


def _frame_end(data: bytes, position: int, offset: int) -> int | None:
    """Where the frame at `position` ends, or None when it is not whole."""
    if position + _HEAD.size > len(data):
        return None
    length, _kind = _HEAD.unpack_from(data, position)
    if length > MAX_PAYLOAD_BYTES:
        raise DamagedError(f"a frame claims {length} bytes", where=f"journal offset {offset + position}")
    end: int = position + FRAME_OVERHEAD_BYTES + length
    return end if end <= len(data) else None


def _read_frame(data: bytes, position: int, end: int, offset: int) -> Record | None:
    _length, kind = _HEAD.unpack_from(data, position)
    (crc,) = _CRC.unpack_from(data, end - _CRC.size)
    if zlib.crc32(memoryview(data)[position : end - _CRC.size]) != crc:
        raise DamagedError("a frame's checksum is wrong", where=f"journal offset {offset + position}")
    payload = data[position + _HEAD.size : end - _CRC.size]
    if kind == Log.KIND:
        step, time_ms = _LOG.unpack_from(payload)
        return Log(step, time_ms, payload[_LOG.size :])
    if kind == JobSample.KIND:
        return read_sample(payload, where=f"journal offset {offset + position}")
    known = _JSON_KINDS.get(kind)
    if known is None:
        return None
    try:
        record: Record = codec.from_json(
            known, codec.load_standard(payload), where=f"journal offset {offset + position}"
        )
    except ValueError:
        raise DamagedError("a record is not JSON", where=f"journal offset {offset + position}") from None
    return record
