"""Trees on their way to the server, by content: what it has is not sent, and what has not changed is not even read.

    entries -> parts (a large file, or small ones together) -> chunks -> batches -> claim: what is missing? -> a pack of that

Reading and cutting is one thread's work; hashing and sending is that of a few, each with a batch of its own, so that memory is
bounded by so many batches. A chunk's bytes are held until it is known that the server has them.
"""

import hashlib
import os
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from _toolkit.cutting import LOOK_AHEAD, find_cut
from _toolkit.known import Known
from _toolkit.manifest import Chunk, Manifest
from _toolkit.names import NOT_UPLOADED, check_names
from _toolkit.plain import open_regular
from _toolkit.progress import Progress
from _toolkit.step import StepError
from _toolkit.trees import Entry

SMALL_BYTES = 128 << 10  # files below it are put together
_TOGETHER_BYTES = 1 << 20
_TOGETHER_FILES = 1000
_FEW_BYTES = 256 << 10
_BUFFER_BYTES = 8 << 20
_PACK_BYTES = 16 << 20
_BATCH_CHUNKS = 2000
_CLAIMED_TOGETHER = 500  # of a tree that is mostly there
_AT_A_TIME = 3


class TreeService(Protocol):
    """Where chunks go."""

    def claim(self, chunks: Sequence[Chunk]) -> set[str]:
        """Which of the chunks are to be sent; the others stay there."""
        ...

    def send(self, chunks: Sequence[Chunk], pieces: Sequence[bytes | memoryview]) -> None:
        """Send chunks, which are the pieces."""
        ...


@dataclass(slots=True)
class Piece:
    """A chunk on its way: of which part and where in it; its bytes, unless it is known without them; what they hash to."""

    part: "Part"
    offset: int
    size: int
    data: bytes | memoryview | None
    digest: str = ""


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


@dataclass(frozen=True, slots=True)
class Sent:
    """What was uploaded: the tree's manifest, and how many of its bytes went over the line."""

    manifest: Manifest
    raw: bytes
    sent_bytes: int


def upload_tree(entries: Sequence[Entry], service: TreeService, known: Known) -> Sent:
    """Have all chunks of the tree on the server. Raises StepError, before anything is sent, for names that can't be unpacked."""
    files = [entry for entry in entries if not entry.link and not entry.is_folder]
    folders = [(entry.name.rstrip("/"), entry.mode) for entry in entries if entry.is_folder]
    links = [(entry.name, entry.link) for entry in entries if entry.link]
    check_names((entry.name for entry in entries), NOT_UPLOADED)
    parts = list(_put_together(files))
    sender = _Sender(service, Progress(sum(entry.size for entry in files), "uploaded"))
    with sender:
        for part in parts:
            chunks = known.find(part.entries)
            for piece in _recall(part, chunks) if chunks is not None else _read(part):
                part.pieces.append(piece)
                sender.add(piece)
        sender.finish()
    for part in parts:
        if not part.is_known:
            known.note(part.entries, [(piece.digest, piece.size) for piece in part.pieces])
    known.save()
    manifest = Manifest(
        [(piece.digest, piece.size) for part in parts for piece in part.pieces],
        [(entry.name, entry.mode, entry.size) for part in parts for entry in part.entries],
        folders,
        links,
    )
    return Sent(manifest, manifest.encode(), sender.sent_bytes)


def _put_together(files: Iterable[Entry]) -> Iterator[Part]:
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


def _recall(part: Part, chunks: Sequence[Chunk]) -> Iterator[Piece]:
    """The pieces of a part that has not changed."""
    part.is_known = True
    offset = 0
    for digest, size in chunks:
        yield Piece(part, offset, size, None, digest)
        offset += size


def _read(part: Part) -> Iterator[Piece]:
    """The pieces of a part, with their bytes. What its files have become meanwhile is what is uploaded."""
    if len(part.entries) > 1 or part.size < SMALL_BYTES:
        data = b"".join([_read_small(part, index) for index in range(len(part.entries))])
        if data:
            yield Piece(part, 0, len(data), data)
        return
    offset = 0
    for data in _cut(part.entries[0].source):
        yield Piece(part, offset, len(data), data)
        offset += len(data)
    part.entries[0] = _resize(part.entries[0], offset)


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


def _cut(path: Path) -> Iterator[memoryview]:
    """The chunks of a large file."""
    with open_regular(path) as file:
        offset = 0
        while data := os.pread(file.fileno(), _BUFFER_BYTES, offset):
            is_end = len(data) < _BUFFER_BYTES
            view, start = memoryview(data), 0
            while len(data) - start >= LOOK_AHEAD or (is_end and start < len(data)):
                cut = find_cut(data, start)
                yield view[start:cut]
                start = cut
            offset += start


class _Sender:
    """Batches of pieces, some on their way at a time."""

    def __init__(self, service: TreeService, progress: Progress) -> None:
        self._service = service
        self._progress = progress
        self._batch: list[Piece] = []
        self._batch_bytes = 0
        self._sending: list[Future[None]] = []
        self._room = threading.Semaphore(_AT_A_TIME)
        self._pool = ThreadPoolExecutor(_AT_A_TIME)
        self._lock = threading.Lock()
        self._seen: set[str] = set()  # chunks that are claimed, or on their way
        self._waiting: list[Piece] = []
        self._is_mostly_there = False
        self.sent_bytes = 0

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def add(self, piece: Piece) -> None:
        """One more; waits while enough is under way."""
        self._batch.append(piece)
        self._batch_bytes += 0 if piece.data is None else piece.size
        if self._batch_bytes >= _PACK_BYTES or len(self._batch) >= _BATCH_CHUNKS:
            self._begin()

    def finish(self) -> None:
        """Wait until all of it is there. Raises what went wrong."""
        if self._batch:
            self._begin()
        for sending in self._sending:
            sending.result()
        self._settle(self._waiting)

    def _begin(self) -> None:
        self._room.acquire()
        for sending in self._sending:
            if sending.done():
                sending.result()  # raises what it raised: no use in sending more
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        self._sending.append(self._pool.submit(self._send, batch))

    def _send(self, batch: list[Piece]) -> None:
        try:
            for piece in batch:
                if piece.data is not None:
                    piece.digest = hashlib.sha256(piece.data).hexdigest()
            self._settle(self._choose(batch))
            self._progress.add(sum(piece.size for piece in batch))
        finally:
            for piece in batch:
                piece.data = None
            self._room.release()

    def _settle(self, new: Sequence[Piece]) -> None:
        """Have these chunks on the server."""
        if not new:
            return
        missing = self._service.claim([(piece.digest, piece.size) for piece in new])
        self._is_mostly_there = len(missing) * 4 < len(new)
        for pack in _pack([piece for piece in new if piece.digest in missing]):
            pieces = [piece.data if piece.data is not None else _read_again(piece) for piece in pack]
            self._service.send([(piece.digest, piece.size) for piece in pack], pieces)
            with self._lock:
                self.sent_bytes += sum(piece.size for piece in pack)

    def _choose(self, batch: Sequence[Piece]) -> list[Piece]:
        """Those that are to be claimed now, each once. Of a tree that is mostly there many are claimed together, without their bytes."""
        with self._lock:
            for piece in batch:
                if piece.digest not in self._seen:
                    self._seen.add(piece.digest)
                    self._waiting.append(piece)
            if self._is_mostly_there and len(self._waiting) < _CLAIMED_TOGETHER:
                return []
            chosen, self._waiting = self._waiting, []
        return chosen


def _pack(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    pack: list[Piece] = []
    size = 0
    for piece in pieces:
        pack.append(piece)
        size += piece.size
        if size >= _PACK_BYTES:
            yield pack
            pack, size = [], 0
    if pack:
        yield pack


def _read_again(piece: Piece) -> bytes:
    """The bytes of a piece that was known without them, and that the server does not have (any more)."""
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
