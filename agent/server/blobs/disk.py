"""Bulk bytes as plain files: `FOLDER/<key>`, made in `FOLDER/.new` and moved into place."""

import asyncio
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from agent.errors import AgentError, DamagedError, NotFoundError
from agent.server.blobs.store import Written
from agent.server.problems import TooLargeError

_KEY = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_BATCH_BYTES = 1 << 20  # handed to a thread at a time
_READ_BYTES = 256 << 10


class DiskBlobStore:
    """The blobs in one folder, which is made when it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._new = folder / ".new"
        shutil.rmtree(self._new, ignore_errors=True)  # left by a crash
        self._new.mkdir(mode=0o700, parents=True)

    async def write(
        self, key: str, chunks: AsyncIterable[bytes], *, limit_bytes: int, digest: str = ""
    ) -> Written:
        """See `BlobStore.write`."""
        draft = await asyncio.to_thread(_Draft, self._new, limit_bytes)
        try:
            async for batch in _batches(chunks):
                await asyncio.to_thread(draft.add, batch)
            return await asyncio.to_thread(draft.finish, self._path(key), digest)
        finally:
            await asyncio.to_thread(draft.discard)

    async def join(self, key: str, parts: Sequence[str], *, limit_bytes: int) -> Written:
        """See `BlobStore.join`."""
        return await asyncio.to_thread(
            self._join, self._path(key), [self._path(part) for part in parts], limit_bytes
        )

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """See `BlobStore.read`."""
        file = await asyncio.to_thread(_open, self._path(key))
        try:
            while data := await asyncio.to_thread(file.read, _READ_BYTES):
                yield data
        finally:
            file.close()

    async def size(self, key: str) -> int | None:
        """See `BlobStore.size`."""
        with suppress(FileNotFoundError):
            return (await asyncio.to_thread(self._path(key).stat)).st_size
        return None

    async def remove(self, prefix: str) -> None:
        """See `BlobStore.remove`."""
        await asyncio.to_thread(self._remove, self._path(prefix))

    def _join(self, target: Path, parts: Sequence[Path], limit_bytes: int) -> Written:
        draft = _Draft(self._new, limit_bytes)
        try:
            for part in parts:
                with _open(part) as file:
                    while data := file.read(_BATCH_BYTES):
                        draft.add(data)
            return draft.finish(target, "")
        finally:
            draft.discard()

    def _remove(self, path: Path) -> None:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"not a key of ours: {key!r}")
        return self._folder / key


class _Draft:
    """A file that nobody sees yet."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._path = folder / secrets.token_hex(16)
        self._file = self._path.open("xb")
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._size_bytes > self._limit_bytes:
            raise TooLargeError(f"more than the {self._limit_bytes} bytes that are allowed")
        self._hash.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise AgentError(
                f"the server can't store this: {error.strerror}", hint="is its disk full?"
            ) from error

    def finish(self, target: Path, digest: str) -> Written:
        written = Written(self._size_bytes, f"sha256:{self._hash.hexdigest()}")
        if digest and digest != written.digest:
            raise DamagedError(f"the bytes that came have the digest {written.digest}", where=digest)
        self._file.flush()
        os.fsync(self._file.fileno())
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.replace(target)
        _sync_folder(target.parent)
        return written

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


async def _batches(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """`chunks`, gathered into pieces that are worth a thread."""
    batch = bytearray()
    async for chunk in chunks:
        batch += chunk
        if len(batch) >= _BATCH_BYTES:
            yield bytes(batch)
            batch.clear()
    if batch:
        yield bytes(batch)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise NotFoundError("there are no such bytes here") from None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
