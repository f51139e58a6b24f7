"""An archived journal's bytes. Pure.

    file  = MAGIC frame* node* footer
    frame = zlib of whole journal records, one part of the journal (`agent.server.data.log_index`)
    node  = zlib of JSON: up to FAN_OUT entries, of frames or of nodes
    footer= root offset:u64le  root length:u32le  depth:u8  MAGIC     depth 1: the root's entries are frames

An entry says where a frame (or what is below a node) lies, which journal offsets it covers, how many lines of each step
end in it, its first and last time, and from which offset to read for the lines that end in it to be whole. To get to a line, an offset or a time costs one node a level: the logarithm of the
log's size. Offsets are the journal's own, so viewers that were interrupted go on where they were.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import DamagedError
from agent.journal.format import Record, decode
from agent.journal.magic import MAGIC as JOURNAL_MAGIC
from agent.server.data.log_index import Part, Parting

MAGIC = b"FLOWARC1"
FAN_OUT = 64
FOOTER = struct.Struct("<QIB8s")
_MOST_NODE_BYTES = 64 << 20
_NUMBERS_BEFORE = 7  # in an entry of archives that say nothing of `whole_from`


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """A frame, or all that is below a node."""

    offset: int  # in the archive
    length: int
    start: int  # in the journal
    end: int
    lines: Mapping[int, int]  # by step, how many line ends are in it
    first_ms: int
    last_ms: int
    whole_from: int = 0  # in the journal; archives of before say nothing of it

    def count(self, step: int | None) -> int:
        """How many lines end here: of `step`, or (None) of all steps."""
        return sum(self.lines.values()) if step is None else self.lines.get(step, 0)


class Packer:
    """Makes an archive out of a journal, piece by piece."""

    def __init__(self) -> None:
        self._position = 0
        self._entries: list[ArchiveEntry] = []
        self._data = bytearray()  # of the part that is open
        self._parting = Parting()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The archive's next bytes for the journal's next whole records. Raises DamagedError."""
        if self._position == 0:
            yield self._put(MAGIC)
        offset = begin = self.journal_bytes
        for end, record in decode(data, offset=offset):
            self._data += data[begin - offset : end - offset]
            begin = end
            if (part := self._parting.add(end, record)) is not None:
                yield self._put_frame(part)
        self._data += data[begin - offset :]
        self._parting.skip(offset + len(data))

    def finish(self) -> Iterator[bytes]:
        """The rest: the last frame, the index, the footer."""
        if self._position == 0:
            yield self._put(MAGIC)
        if self._data:
            yield self._put_frame(self._parting.close())
        level, depth = self._entries, 0
        while depth == 0 or len(level) > 1:
            nodes = [level[place : place + FAN_OUT] for place in range(0, len(level), FAN_OUT)] or [[]]
            above = []
            for entries in nodes:
                node = zlib.compress(json.dumps([_pack(entry) for entry in entries]).encode())
                above.append(_sum(entries, self._position, len(node)))
                yield self._put(node)
            level, depth = above, depth + 1
        yield self._put(FOOTER.pack(level[0].offset, level[0].length, depth, MAGIC))

    @property
    def journal_bytes(self) -> int:
        """How much of the journal has been fed."""
        return self._parting.end

    def _put_frame(self, part: Part) -> bytes:
        data = zlib.compress(self._data, 6)
        self._entries.append(
            ArchiveEntry(
                self._position,
                len(data),
                part.start,
                part.end,
                part.lines,
                part.first_ms,
                part.last_ms,
                part.whole_from,
            )
        )
        self._data.clear()
        return self._put(data)

    def _put(self, data: bytes) -> bytes:
        self._position += len(data)
        return data


def read_footer(data: bytes) -> tuple[int, int, int]:
    """Where the root is and how deep the index: offset, length, depth. Raises DamagedError."""
    if len(data) != FOOTER.size:
        raise DamagedError("an archived log is cut short")
    offset, length, depth, magic = FOOTER.unpack(data)
    if magic != MAGIC or not 0 < depth < 16 or length > _MOST_NODE_BYTES:
        raise DamagedError("this is no archived log")
    return offset, length, depth


def read_node(data: bytes) -> Sequence[ArchiveEntry]:
    """The entries of a node. Raises DamagedError."""
    try:
        return [_unpack(packed) for packed in json.loads(zlib.decompress(data))]
    except (zlib.error, ValueError, TypeError, KeyError) as error:
        raise DamagedError(f"the index of an archived log can't be read: {error}") from None


def read_frame(entry: ArchiveEntry, data: bytes) -> Iterator[tuple[int, Record]]:
    """The records of a frame, each with its end in the journal. Raises DamagedError."""
    size = entry.end - entry.start
    opened = zlib.decompressobj()
    try:
        raw = opened.decompress(data, size + 1)
    except zlib.error as error:
        raise DamagedError(f"a frame of an archived log can't be read: {error}") from None
    if len(raw) != size or (entry.start == 0 and not raw.startswith(JOURNAL_MAGIC)):
        raise DamagedError("a frame of an archived log is not what its index says")
    return decode(raw, offset=entry.start)


def _sum(entries: Sequence[ArchiveEntry], offset: int, length: int) -> ArchiveEntry:
    lines: dict[int, int] = {}
    for entry in entries:
        for step, count in entry.lines.items():
            lines[step] = lines.get(step, 0) + count
    first, last = (entries[0], entries[-1]) if entries else (None, None)
    return ArchiveEntry(
        offset,
        length,
        first.start if first else 0,
        last.end if last else 0,
        lines,
        first.first_ms if first else 0,
        last.last_ms if last else 0,
        first.whole_from if first else 0,
    )


def _pack(entry: ArchiveEntry) -> list[object]:
    steps = [[step, count] for step, count in sorted(entry.lines.items())]
    times = (entry.first_ms, entry.last_ms)
    return [entry.offset, entry.length, entry.start, entry.end, steps, *times, entry.whole_from]


def _unpack(packed: list[Any]) -> ArchiveEntry:
    if len(packed) == _NUMBERS_BEFORE:
        packed = [*packed, 0]
    offset, length, start, end, steps, first_ms, last_ms, whole_from = packed
    numbers = (offset, length, start, end, first_ms, last_ms, whole_from)
    if any(type(number) is not int for number in numbers):
        raise ValueError("an entry is not made of numbers")
    lines = {int(step): int(count) for step, count in steps}
    return ArchiveEntry(offset, length, start, end, lines, first_ms, last_ms, whole_from)
