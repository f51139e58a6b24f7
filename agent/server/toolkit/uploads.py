"""Uploads in parts: no more than the project has room for, counted before it is written, while its job runs."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from agent.server.http.rooms import Rooms
from agent.server.process.problems import ConflictError, TooLargeError
from agent.server.store import projects, uploads
from agent.server.store.database import Connection
from agent.server.store.locks import lock_name
from agent.server.store.uploads import Upload
from agent.server.toolkit.shelves import Shelf, Stored, check_quota

_STEP_BYTES = 8 << 20
_turns: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()


async def check_open(rooms: Rooms, shelf: Shelf, stored: Stored) -> None:
    """Raises ConflictError when the job that began the upload has ended: nobody waits for it any more."""
    async with rooms.database.read() as connection:
        _check(await uploads.find_upload(connection, shelf.name, stored.id))


@asynccontextmanager
async def reserved(
    rooms: Rooms, shelf: Shelf, stored: Stored, key: str, size_bytes: int
) -> AsyncIterator[None]:
    """Room for a part of `size_bytes` that is written under `key` meanwhile; it is given back when that fails.

    Raises TooLargeError when there is none, ConflictError when the upload takes no parts (any more).
    """
    await _take(rooms, shelf, stored, size_bytes)
    try:
        older = await rooms.data.blobs.size(key) or 0
        yield
    except BaseException:
        await asyncio.shield(_give_back(rooms, shelf, stored, size_bytes))
        raise
    try:
        await _settle(rooms, shelf, stored, older)
    except ConflictError:
        await rooms.data.blobs.remove(key)  # it came too late: nobody would join or sweep it
        raise


@asynccontextmanager
async def metered(
    rooms: Rooms, shelf: Shelf, stored: Stored, chunks: AsyncIterable[bytes]
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
                await _take(rooms, shelf, stored, pending)
                taken, pending = taken + pending, 0
            yield chunk

    try:
        yield count()
    except BaseException:
        if taken:
            await asyncio.shield(_give_back(rooms, shelf, stored, taken))
        raise


@asynccontextmanager
async def alone(shelf: Shelf, stored: Stored) -> AsyncIterator[None]:
    """Be the only request of this server that makes the thing whole: many at once would each write all of it."""
    turn = _turns.setdefault((shelf.name, stored.id), asyncio.Lock())
    async with turn:
        yield


async def check_room(connection: Connection, shelf: Shelf, stored: Stored, size_bytes: int) -> None:
    """Raises TooLargeError when a whole thing of so many bytes has no room any more; ConflictError as `check_open`."""
    found, room = await _look(connection, shelf, stored)
    check_quota(room, found.others_bytes, size_bytes, shelf.name)


async def _take(rooms: Rooms, shelf: Shelf, stored: Stored, size_bytes: int) -> None:
    most = rooms.process.limits.artifact_bytes
    async with rooms.changes.begin() as change:
        found, room = await _look(change.connection, shelf, stored)
        if found.size_bytes + size_bytes > most:
            raise TooLargeError(f"insufficient usage: it would have more than {most} bytes")
        check_quota(room, found.others_bytes + found.size_bytes, size_bytes, shelf.name)
        if not await uploads.count_bytes(change.connection, shelf.name, stored.id, size_bytes):
            raise ConflictError("its blocks were joined; no others are taken")


async def _settle(rooms: Rooms, shelf: Shelf, stored: Stored, older_bytes: int) -> None:
    """A part is there; the one that it has replaced counts no more. Raises ConflictError when it came too late."""
    async with rooms.changes.begin() as change:
        _check(await uploads.find_upload(change.connection, shelf.name, stored.id))
        if not await uploads.count_bytes(change.connection, shelf.name, stored.id, -older_bytes):
            raise ConflictError("it was completed meanwhile")


async def _give_back(rooms: Rooms, shelf: Shelf, stored: Stored, size_bytes: int) -> None:
    async with rooms.changes.begin() as change:
        await uploads.count_bytes(change.connection, shelf.name, stored.id, -size_bytes)


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
