"""Conversations with programs: what goes to their standard input, and what comes of their standard output. Pure.

In both ways answers come in the order of the records, one for each.

    frames   to code: `length:u32 JSON` (big endian), a list of records; from it, after a first frame that says that it is ready, lists of
             answers: a list of values (empty: the record has ended), or {"error": TEXT, "final": BOOL}
    lines    to commands: a record a line; from them a line for each: a record that is an object, a list of records (of any kind, also
             empty), null (it has ended), or {"$error": TEXT}. Any other line is one of the log
"""

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol

from agent.codec import refuse_constant
from agent.job.stages.stage import StageError, Value

Answer = Sequence[Value] | StageError  # the values that came of a record, or why there are none

MOST_BYTES: Final = 64 << 20  # of one frame, or of one line
_FRAME_RECORDS: Final = 256  # so that the program works on the first while the next are written
_HEAD: Final = struct.Struct("!I")
_ERROR: Final = "$error"
_MOST_MESSAGE: Final = 4096
# In ASCII: half of a pair of surrogates has no UTF-8. Made once: a record is small, and making them takes longer than it.
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
_DECODER: Final = json.JSONDecoder(parse_constant=refuse_constant)


class ProtocolError(Exception):
    """A program said what nobody can understand: it is of no use any more."""


class ProgramSpeech(Protocol):
    """One conversation."""

    is_greeted: bool  # whether it says that it is ready before it is asked anything

    def encode(self, records: Sequence[Value]) -> Iterator[bytes]:
        """What is written to the program, in parts."""
        ...

    def feed(self, data: bytes) -> Iterator[Answer]:
        """The answers that are complete with `data`. Raises ProtocolError."""
        ...


class RecordFrames:
    """See ProgramSpeech. `on_greeting` is called with what is wrong with the code, or with nothing."""

    is_greeted = True

    def __init__(self, on_greeting: Callable[[str], None]) -> None:
        self._on_greeting = on_greeting
        self._has_greeted = False
        self._held = bytearray()

    def encode(self, records: Sequence[Value]) -> Iterator[bytes]:
        """See ProgramSpeech."""
        for first in range(0, len(records), _FRAME_RECORDS):
            data = _dump(records[first : first + _FRAME_RECORDS])
            yield _HEAD.pack(len(data)) + data

    def feed(self, data: bytes) -> Iterator[Answer]:
        """See ProgramSpeech."""
        self._held += data
        while len(self._held) >= _HEAD.size:
            (length,) = _HEAD.unpack_from(self._held)
            if length > MOST_BYTES:
                raise ProtocolError(f"a frame of {length} bytes")
            end = _HEAD.size + length
            if len(self._held) < end:
                return
            try:
                said = json.loads(self._held[_HEAD.size : end])
            except (ValueError, RecursionError):
                raise ProtocolError("a frame that is no JSON") from None
            del self._held[:end]
            if self._has_greeted:
                yield from map(_read_answer, said)
            else:
                self._has_greeted = True
                self._on_greeting(said.get("refused", ""))


class RecordLines:
    """See ProgramSpeech. `say` is given each line that is no answer."""

    is_greeted = False

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._held: list[bytes] = []
        self._held_bytes = 0

    def encode(self, records: Sequence[Value]) -> Iterator[bytes]:
        """See ProgramSpeech."""
        for first in range(0, len(records), _FRAME_RECORDS):
            yield b"".join(_dump(record) + b"\n" for record in records[first : first + _FRAME_RECORDS])

    def feed(self, data: bytes) -> Iterator[Answer]:
        """See ProgramSpeech."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = b"".join([*self._held, line])
            self._held, self._held_bytes = [], 0
            answer = _read_line(whole)
            if answer is not None:
                yield answer
            elif whole.strip():
                self._say(whole.decode("utf-8", "replace"))
        self._held.append(rest)
        self._held_bytes += len(rest)
        if self._held_bytes > MOST_BYTES:
            raise ProtocolError(f"a line of more than {MOST_BYTES >> 20} MiB")


def _dump(value: object) -> bytes:
    return _ENCODER.encode(value).encode("ascii")


def _read_answer(said: Any) -> Answer:
    if isinstance(said, list):
        return said
    return StageError(str(said.get("error", ""))[:_MOST_MESSAGE], is_final=bool(said.get("final")))


def _read_line(line: bytes) -> Answer | None:
    """The answer that a line is; None: it is none. Numbers and words alone are what programs print by the way."""
    text = line.strip()
    if text[:1] not in (b"{", b"[") and text != b"null":
        return None
    try:
        said = _DECODER.decode(text.decode())
    except (ValueError, RecursionError):
        return None
    if said is None:
        return ()
    if isinstance(said, list):
        return said
    if said.keys() == {_ERROR}:
        return StageError(str(said[_ERROR])[:_MOST_MESSAGE])
    return (said,)
