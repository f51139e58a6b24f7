"""Bulk bytes as plain files: `FOLDER/<key>`, made in `FOLDER/.new` and moved into place."""

import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from agent.errors import AgentError, DamagedError, NotFoundError
from agent.server.data.blobs.store import Check, Found, Written, check_key
from agent.server.pools import FILES, Pool
from agent.server.process.problems import TooLargeError
from agent.trees import remove_tree

_BATCH_BYTES = 1 << 20  # handed to a thread at a time
_READ_BYTES = 256 << 10


class DiskBlobStore:
    """The blobs in one folder, which is made when it is missing."""

    def __init__(self, folder: Path, threads: Pool | None = None) -> None:
        self._folder = folder
        self._threads = threads or Pool(FILES)
        self._new = folder / ".new"
        self._new.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(self._new)

    async def write(
        self,
        key: str,
        chunks: AsyncIterable[bytes],
        *,
        limit_bytes: int,
        digest: str = "",
        headers: Mapping[str, str] | None = None,
        check: Check | None = None,
    ) -> Written:
        """See `BlobStore.write`. Files have no `headers`."""
        del headers
        draft = await self._threads.run(_Draft, self._new, limit_bytes, check)
        try:
            async for batch in _batches(chunks):
                await self._threads.run(draft.add, batch)
                del batch
            return await self._threads.run(draft.finish, self._path(key), digest)
        finally:
            await self._threads.run(draft.discard)

    async def join(
        self, key: str, parts: Sequence[str], *, limit_bytes: int, headers: Mapping[str, str] | None = None
    ) -> Written:
        """See `BlobStore.join`."""
        del headers
        return await self._threads.run(
            self._join, self._path(key), [self._path(part) for part in parts], limit_bytes
        )

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See `BlobStore.read`."""
        file = await self._threads.run(_open, self._path(key))
        left = _READ_BYTES if end is None else end - start
        try:
            file.seek(start)
            while data := await self._threads.run(file.read, max(min(_READ_BYTES, left), 0)):
                yield data
                left -= len(data) if end is not None else 0
        finally:
            file.close()

    async def size(self, key: str) -> int | None:
        """See `BlobStore.size`."""
        with suppress(FileNotFoundError):
            return (await self._threads.run(self._path(key).stat)).st_size
        return None

    async def find(self, prefix: str) -> AsyncIterator[Found]:
        """See `BlobStore.find`."""
        for found in await self._threads.run(self._find, self._path(prefix)):
            yield found

    async def remove(self, prefix: str) -> None:
        """See `BlobStore.remove`."""
        await self._threads.run(self._remove, self._path(prefix))

    async def direct_url(self, key: str, seconds: float) -> str | None:
        """See `BlobStore.direct_url`: nobody but us reads our files."""
        del key, seconds
        return None

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
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)

    def _find(self, folder: Path) -> list[Found]:
        found: list[Found] = []
        for file in folder.rglob("*"):
            with suppress(FileNotFoundError):
                about = file.stat()
                if stat.S_ISREG(about.st_mode):
                    key = file.relative_to(self._folder).as_posix()
                    found.append(Found(key, about.st_size, about.st_mtime))
        return found

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)


def _sweep(folder: Path) -> None:
    """Remove the drafts that a crash left: those that nobody holds, also no other server on the same folder."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError, BlockingIOError), path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


class _Draft:
    """A file that nobody sees yet, held by a lock for as long as it is written."""

    def __init__(self, folder: Path, limit_bytes: int, check: Check | None = None) -> None:
        with _storing():
            self._path, self._file = _new_file(folder)
        self._check = check
        self._limit_bytes = limit_bytes
        self._size_bytes = 0
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        self._size_bytes += len(data)
        if self._size_bytes > self._limit_bytes:
            raise TooLargeError(f"more than the {self._limit_bytes} bytes that are allowed")
        if self._check is None:
            self._hash.update(data)
        else:
            self._check.add(data)
        with _storing():
            self._file.write(data)

    def finish(self, target: Path, digest: str) -> Written:
        if self._check is not None:
            self._check.end()
        written = Written(self._size_bytes, f"sha256:{self._hash.hexdigest()}" if self._check is None else "")
        if digest and digest != written.digest:
            raise DamagedError(f"the bytes that came have the digest {written.digest}", where=digest)
        with _storing():
            self._file.flush()
            os.fsync(self._file.fileno())
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.replace(target)
            _sync_folder(target.parent)
        return written

    def discard(self) -> None:
        with suppress(OSError):  # what could not be written is tried once more, and is not wanted
            self._file.close()
        self._path.unlink(missing_ok=True)


@contextmanager
def _storing() -> Iterator[None]:
    """What the disk refuses is said, and no bug."""
    try:
        yield
    except OSError as error:
        raise AgentError(
            f"the server can't store this: {error.strerror}", hint="is its disk full?"
        ) from error


def _new_file(folder: Path) -> tuple[Path, BinaryIO]:
    while True:
        path = folder / secrets.token_hex(16)
        file = path.open("xb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:
            return path, file
        file.close()  # swept between its making and its lock


async def _batches(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """`chunks`, gathered into pieces that are worth a thread; none is held while the next one comes."""
    batch: list[bytes] = []
    size = 0
    async for chunk in chunks:
        batch.append(chunk)
        size += len(chunk)
        if size >= _BATCH_BYTES:
            yield _join_batch(batch)
            size = 0
    if batch:
        yield _join_batch(batch)


def _join_batch(batch: list[bytes]) -> bytes:
    joined = b"".join(batch)
    batch.clear()
    return joined


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
