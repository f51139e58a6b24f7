"""Room for uploads in parts: no more than the project has, counted before it is written, while its job runs."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager

from agent.server.data.blobs.store import BlobStore
from agent.server.data.shelves import Shelf, Stored, check_quota
from agent.server.events.changes import Changes
from agent.server.process.problems import ConflictError, TooLargeError
from agent.server.store import projects, uploads
from agent.server.store.database import Connection
from agent.server.store.locks import lock_name
from agent.server.store.uploads import Upload

_STEP_BYTES = 8 << 20


class UploadRoom:
    """Counts what is on its way. A thing has `most_bytes` at most, whatever its project has room for."""

    def __init__(self, changes: Changes, blobs: BlobStore, most_bytes: int) -> None:
        self._changes = changes
        self._blobs = blobs
        self._most_bytes = most_bytes

    async def check_open(self, shelf: Shelf, stored: Stored) -> None:
        """Raises ConflictError when the job that began the upload has ended: nobody waits for it any more."""
        async with self._changes.database.read() as connection:
            _check(await uploads.find_upload(connection, shelf.name, stored.id))

    @asynccontextmanager
    async def reserved(self, shelf: Shelf, stored: Stored, key: str, size_bytes: int) -> AsyncIterator[None]:
        """Room for a part of `size_bytes` that is written under `key` meanwhile; it is given back when that fails.

        Raises TooLargeError when there is none, ConflictError when the upload takes no parts (any more).
        """
        await self._take(shelf, stored, size_bytes)
        try:
            older = await self._blobs.size(key) or 0
            yield
        except BaseException:
            await asyncio.shield(self._give_back(shelf, stored, size_bytes))
            raise
        try:
            await self._settle(shelf, stored, older)
        except ConflictError:
            await self._blobs.remove(key)  # it came too late: nobody would join or sweep it
            raise

    @asynccontextmanager
    async def metered(
        self, shelf: Shelf, stored: Stored, chunks: AsyncIterable[bytes]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The `chunks` of all of the thing, counted as they come; they are given back when that fails. Raises as `reserved`.

        A thing that is whole already has its size counted: what replaces it is bounded by the room that is left.
        """
        taken = 0

        async def count() -> AsyncIterator[bytes]:
            nonlocal taken
            pending = 0
            async for chunk in chunks:
                pending += len(chunk)
                if pending >= _STEP_BYTES and not stored.blob:
                    await self._take(shelf, stored, pending)
                    taken, pending = taken + pending, 0
                yield chunk

        try:
            yield count()
        except BaseException:
            if taken:
                await asyncio.shield(self._give_back(shelf, stored, taken))
            raise

    async def _take(self, shelf: Shelf, stored: Stored, size_bytes: int) -> None:
        async with self._changes.begin() as change:
            found, room = await _look(change.connection, shelf, stored)
            if found.size_bytes + size_bytes > self._most_bytes:
                raise TooLargeError(f"insufficient usage: it would have more than {self._most_bytes} bytes")
            check_quota(room, found.others_bytes + found.size_bytes, size_bytes, shelf.name)
            if not await uploads.count_bytes(change.connection, shelf.name, stored.id, size_bytes):
                raise ConflictError("its blocks were joined; no others are taken")

    async def _settle(self, shelf: Shelf, stored: Stored, older_bytes: int) -> None:
        """A part is there; the one that it has replaced counts no more. Raises ConflictError when it came too late."""
        async with self._changes.begin() as change:
            _check(await uploads.find_upload(change.connection, shelf.name, stored.id))
            if not await uploads.count_bytes(change.connection, shelf.name, stored.id, -older_bytes):
                raise ConflictError("it was completed meanwhile")

    async def _give_back(self, shelf: Shelf, stored: Stored, size_bytes: int) -> None:
        async with self._changes.begin() as change:
            await uploads.count_bytes(change.connection, shelf.name, stored.id, -size_bytes)


async def check_room(connection: Connection, shelf: Shelf, stored: Stored, size_bytes: int) -> None:
    """Raises TooLargeError when a whole thing of so many bytes has no room any more; ConflictError when its job has ended."""
    found, room = await _look(connection, shelf, stored)
    check_quota(room, found.others_bytes, size_bytes, shelf.name)


async def _look(connection: Connection, shelf: Shelf, stored: Stored) -> tuple[Upload, int | None]:
    """How the upload stands while nobody else changes that, and the project's room (None: any)."""
    found = _check(await uploads.find_upload(connection, shelf.name, stored.id))
    await lock_name(connection, f"uploads of {found.project}")
    found = _check(await uploads.find_upload(connection, shelf.name, stored.id))
    project = await projects.find_project(connection, found.project)
    return found, None if project is None else shelf.room_of(project.settings)


def _check(found: Upload | None) -> Upload:
    if found is None:
        raise ConflictError("it was deleted meanwhile")
    if not found.is_open:
        raise ConflictError("the job that began this upload has ended")
    return found
