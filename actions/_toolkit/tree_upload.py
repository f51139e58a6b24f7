"""Trees on their way to the server, by content: what it has is not sent, and what has not changed is not even read.

    entries -> parts (a large file, or small ones together) -> chunks -> batches -> claim: what is missing? -> a pack of that

Reading and cutting is one thread's work; hashing and sending is that of a few, each with a batch of its own, so that memory is
bounded by so many batches. A chunk's bytes are held until it is known that the server has them.
"""

import hashlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from _toolkit.fingerprints import Fingerprint
from _toolkit.known import Known, Noted
from _toolkit.manifest import Chunk, Manifest
from _toolkit.names import NOT_UPLOADED, check_names
from _toolkit.progress import Progress
from _toolkit.tree_parts import SMALL_BYTES, Piece, gather, put_together, read_again, read_part
from _toolkit.trees import Entry

_PACK_BYTES = 16 << 20
_BATCH_CHUNKS = 2000
_CLAIMED_TOGETHER = 500  # of a tree that is mostly there
_AT_A_TIME = 3
_WORTH_BYTES = 16 << 20  # of a tree: fewer are hashed before a library for fingerprints is there


class TreeService(Protocol):
    """Where chunks go."""

    def claim(self, chunks: Sequence[Chunk]) -> set[str]:
        """Which of the chunks are to be sent; the others stay there."""
        ...

    def send(self, chunks: Sequence[Chunk], pieces: Sequence[bytes | memoryview]) -> None:
        """Send chunks, which are the pieces."""
        ...


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
    parts = list(put_together(files))
    size = sum(entry.size for entry in files)
    if size >= _WORTH_BYTES:
        known.begin_fingerprints()
    sender = _Sender(service, Progress(size, "uploaded"), known.fingerprint)
    with sender:
        for part in parts:
            for piece in read_part(part, known):
                part.pieces.append(piece)
                sender.add(piece)
        sender.finish()
    for part in parts:
        if not part.is_known:
            known.note(
                part.entries, [Noted(piece.digest, piece.size, piece.fingerprint) for piece in part.pieces]
            )
    known.save()
    manifest = Manifest(
        [(piece.digest, piece.size) for part in parts for piece in part.pieces],
        [(entry.name, entry.mode, entry.size) for part in parts for entry in part.entries],
        folders,
        links,
    )
    return Sent(manifest, manifest.encode(), sender.sent_bytes)


class _Sender:
    """Batches of pieces, some on their way at a time."""

    def __init__(self, service: TreeService, progress: Progress, fingerprint: Fingerprint | None) -> None:
        self._service = service
        self._progress = progress
        self._fingerprint = fingerprint
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
                    self._name(piece, piece.data)
            self._settle(self._choose(batch))
            self._progress.add(sum(piece.size for piece in batch))
        finally:
            for piece in batch:
                piece.data = None
            self._room.release()

    def _name(self, piece: Piece, data: bytes | memoryview) -> None:
        piece.digest = piece.digest or hashlib.sha256(data).hexdigest()
        if self._fingerprint is not None and piece.size >= SMALL_BYTES:
            piece.fingerprint = self._fingerprint(data)

    def _settle(self, new: Sequence[Piece]) -> None:
        """Have these chunks on the server."""
        if not new:
            return
        missing = self._service.claim([(piece.digest, piece.size) for piece in new])
        self._is_mostly_there = len(missing) * 4 < len(new)
        for pack in gather((piece for piece in new if piece.digest in missing), _PACK_BYTES):
            pieces = [piece.data if piece.data is not None else read_again(piece) for piece in pack]
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
