"""The files of a tree as parts, and the parts as pieces: a large file is some, small ones together are one.

a file that has not changed --> its chunks, unread
one that has --> a chunk is cut --nothing is known, or it is not--> the next is cut
                 it is known --> those behind it, while their fingerprints are right --> the next is cut
"""

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, Protocol, TypeVar

from _toolkit.cutting import LOOK_AHEAD, find_cut
from _toolkit.known import Known, Noted
from _toolkit.plain import open_regular
from _toolkit.step import StepError
from _toolkit.trees import Entry

SMALL_BYTES = 128 << 10  # files below it are put together
_TOGETHER_BYTES = 1 << 20
_TOGETHER_FILES = 1000
_FEW_BYTES = 256 << 10
_BUFFER_BYTES = 8 << 20
_AHEAD_BYTES = 4 << 20
_STRANGE_BYTES = (
    64 << 20
)  # so many without a known chunk: the rest of the file is hashed by many, and not looked for


@dataclass(slots=True)
class Piece:
    """A chunk on its way: of which part and where in it; its bytes, unless it is known without them; what they hash to."""

    part: "Part"
    offset: int
    size: int
    data: bytes | memoryview | None
    digest: str = ""
    fingerprint: str = ""


@dataclass(slots=True)
class Part:
    """Files that are read one after the other: a large one, or small ones that are one chunk."""

    entries: list[Entry]
    pieces: list[Piece] = field(default_factory=list)
    is_known: bool = False

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return sum(entry.size for entry in self.entries)


def put_together(files: Iterable[Entry]) -> Iterator[Part]:
    """The parts. Where small files are parted follows from their names: one more or less changes its own part alone."""
    small: list[Entry] = []
    size = 0
    for entry in files:
        if entry.size >= SMALL_BYTES:
            yield Part([entry])
            continue
        small.append(entry)
        size += entry.size
        is_mark = not zlib.crc32(os.fsencode(entry.name)) % 16
        if (is_mark and size >= _FEW_BYTES) or size >= _TOGETHER_BYTES or len(small) >= _TOGETHER_FILES:
            yield Part(small)
            small, size = [], 0
    if small:
        yield Part(small)


def read_part(part: Part, known: Known) -> Iterator[Piece]:
    """The pieces of a part; with their bytes where they must be read. What its files have become meanwhile is what is uploaded."""
    chunks = known.find(part.entries)
    if chunks is not None:
        part.is_known = True
        yield from _recall(part, chunks)
    elif len(part.entries) > 1 or part.size < SMALL_BYTES:
        data = b"".join([_read_small(part, index) for index in range(len(part.entries))])
        if data:
            yield Piece(part, 0, len(data), data)
    else:
        end = 0
        with open_regular(part.entries[0].source) as file:
            for piece in _LargeFile(part, file, known).pieces():
                yield piece
                end = piece.offset + piece.size
        part.entries[0] = _resize(part.entries[0], end)


def read_again(piece: Piece) -> bytes:
    """The bytes of a piece that was known without them, and that the server does not have (any more). Raises StepError when they have changed."""
    data = bytearray()
    offset = piece.offset
    for entry in piece.part.entries:
        if offset < entry.size and len(data) < piece.size:
            with open_regular(entry.source) as file:
                data += os.pread(file.fileno(), piece.size - len(data), offset)
            offset = entry.size
        offset -= entry.size
    if hashlib.sha256(data).hexdigest() != piece.digest:
        names = ", ".join(repr(entry.name) for entry in piece.part.entries[:3])
        raise StepError(f"{names}: changed while it was uploaded", "upload it when nothing writes to it")
    return bytes(data)


def _recall(part: Part, chunks: Sequence[Noted]) -> Iterator[Piece]:
    """The pieces of a part that has not changed."""
    offset = 0
    for chunk in chunks:
        yield Piece(part, offset, chunk.size, None, chunk.digest, chunk.fingerprint)
        offset += chunk.size


def _read_small(part: Part, index: int) -> bytes:
    entry = part.entries[index]
    with open_regular(entry.source) as file:
        data = os.read(file.fileno(), SMALL_BYTES)
        if len(data) != entry.size:  # it is being written to: as it is now, up to what a small file may have
            while len(data) < SMALL_BYTES and (more := os.read(file.fileno(), SMALL_BYTES - len(data))):
                data += more
            part.entries[index] = _resize(entry, len(data))
    return data


def _resize(entry: Entry, size: int) -> Entry:
    """The file as long as what was read of it; when that is not what was found, it is none that could be recognised."""
    if size == entry.size:
        return entry
    return Entry(entry.name, entry.source, size=size, mode=entry.mode)


class Weighed(Protocol):
    """Something of so many bytes."""

    @property
    def size(self) -> int:
        """How many."""
        ...


Thing = TypeVar("Thing", bound=Weighed)


def gather(things: Iterable[Thing], enough_bytes: int) -> Iterator[list[Thing]]:
    """The things in their order, some together: as many as come to `enough_bytes`, the last ones to fewer."""
    together: list[Thing] = []
    size = 0
    for thing in things:
        together.append(thing)
        size += thing.size
        if size >= enough_bytes:
            yield together
            together, size = [], 0
    if together:
        yield together


class _LargeFile:
    """A large file that is read from its beginning to its end."""

    def __init__(self, part: Part, file: IO[bytes], known: Known) -> None:
        self._part = part
        self._handle = file.fileno()
        self._known = known
        self._strange_bytes = 0  # since a chunk was last known
        self._buffer = memoryview(b"")
        self._start = 0  # where in the file the buffer begins

    def pieces(self) -> Iterator[Piece]:
        """Its pieces."""
        offset = 0
        while data := self._cut(offset):
            piece = Piece(self._part, offset, len(data), data)
            yield piece if not self._is_looked_for() else self._hash(piece)
            offset += len(data)
            if piece.digest:
                for found in self._follow(offset, self._known.follow(piece.digest)):
                    yield found
                    offset += found.size

    def _is_looked_for(self) -> bool:
        return self._known.can_follow and self._strange_bytes < _STRANGE_BYTES

    def _hash(self, piece: Piece) -> Piece:
        assert piece.data is not None
        piece.digest = hashlib.sha256(piece.data).hexdigest()
        self._strange_bytes += piece.size
        return piece

    def _follow(self, offset: int, chunks: Sequence[Noted]) -> Iterator[Piece]:
        """Those of the chunks that lie here, up to the first that does not."""
        take = self._known.fingerprint
        if take is None or not chunks:
            return
        for chunk, data in self._read_ahead(offset, chunks):
            if not (len(data) == chunk.size and chunk.fingerprint and take(data) == chunk.fingerprint):
                return
            self._strange_bytes = 0
            yield Piece(self._part, offset, chunk.size, None, chunk.digest, chunk.fingerprint)
            offset += chunk.size

    def _read_ahead(self, offset: int, chunks: Sequence[Noted]) -> Iterator[tuple[Noted, memoryview]]:
        """Each chunk with the bytes that are in its place. Some are read by a thread while those before are looked at."""
        groups = list(
            gather(chunks, _AHEAD_BYTES)
        )  # a thread that is told of each would cost more than it reads
        largest = max(sum(chunk.size for chunk in group) for group in groups)
        rooms = [memoryview(bytearray(largest)) for _ in groups[:2]]
        with ThreadPoolExecutor(1) as reader:
            reading = reader.submit(self._read, rooms[0], groups[0], offset)
            for number, group in enumerate(groups):
                data = reading.result()
                offset += sum(chunk.size for chunk in group)
                if number + 1 < len(groups):
                    reading = reader.submit(self._read, rooms[(number + 1) % 2], groups[number + 1], offset)
                at = 0
                for chunk in group:
                    yield chunk, data[at : at + chunk.size]
                    at += chunk.size

    def _read(self, room: memoryview, group: Sequence[Noted], offset: int) -> memoryview:
        view = room[: sum(chunk.size for chunk in group)]
        return view[: os.preadv(self._handle, [view], offset)]

    def _cut(self, offset: int) -> memoryview:
        """The chunk from there on; empty at the end."""
        at = offset - self._start
        if at + LOOK_AHEAD > len(self._buffer):
            self._buffer = memoryview(os.pread(self._handle, _BUFFER_BYTES, offset))
            self._start, at = offset, 0
        data = self._buffer.obj
        assert isinstance(data, bytes)
        return self._buffer[at : find_cut(data, at)] if at < len(data) else self._buffer[:0]
