"""Uploads of artifacts and caches: parts that come in any order, or all at once, become the thing's bytes.

Each complete upload gets a key of its own in the blob store and becomes visible by its row: bytes that are on their way
while an upload is finalized can't change what was finalized. Parts count against the project's room before they are written,
are taken for as long as the job runs that began the upload (`agent.server.data.upload_room`), and are gone when they are joined.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from agent.errors import NotFoundError, UsageError
from agent.server.data.blobs.store import BlobStore, Written
from agent.server.data.shelves import Shelf, Stored
from agent.server.data.upload_room import UploadRoom, check_room
from agent.server.events.changes import Changes
from agent.server.process.problems import ConflictError, MalformedError, TooLargeError

Chunks = AsyncIterable[bytes]


class Uploads:
    """Takes what jobs send. A thing has `most_bytes` at most."""

    def __init__(self, changes: Changes, blobs: BlobStore, most_bytes: int) -> None:
        self._changes = changes
        self._blobs = blobs
        self._most_bytes = most_bytes
        self._room = UploadRoom(changes, blobs, most_bytes)
        self._turns: WeakValueDictionary[tuple[str, int], asyncio.Lock] = WeakValueDictionary()

    async def find(self, shelf: Shelf, number: int) -> Stored:
        """The thing with this id, in whatever state. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            return await shelf.find(connection, number)

    async def find_open(self, shelf: Shelf, number: int) -> Stored:
        """The thing with this id, to be uploaded. Raises NotFoundError; ConflictError when it is complete, or its job has ended."""
        stored = await self.find(shelf, number)
        if stored.is_final:
            raise ConflictError("it is complete; nothing can be added")
        if stored.is_tree:  # its bytes are counted with its packs
            raise ConflictError("it is sent by content, and takes no blocks")
        await self._room.check_open(shelf, stored)
        return stored

    async def limit(self, shelf: Shelf, stored: Stored) -> int:
        """How many bytes the thing may have. Raises TooLargeError when there is no room at all."""
        async with self._changes.database.read() as connection:
            return await shelf.limit(connection, stored, self._most_bytes)

    async def put_block(self, shelf: Shelf, stored: Stored, block: bytes, size: int, chunks: Chunks) -> None:
        """Take a part under its sender's name for it, of `size` bytes at most."""
        key = _block_key(shelf, stored, block)
        async with self._room.reserved(shelf, stored, key, size):
            await self._blobs.write(key, chunks, limit_bytes=size)

    async def join_blocks(self, shelf: Shelf, stored: Stored, blocks: Sequence[bytes], listed: bytes) -> None:
        """Make the blocks, in this order, the thing's bytes; `listed` is their list as it was sent. Raises UsageError."""
        prefix = f"{shelf.name}/{stored.id}/{hashlib.sha256(listed).hexdigest()[:32]}"
        async with self._alone(shelf, stored):
            stored = await self.find(shelf, stored.id)
            if stored.blob.startswith(prefix):
                return  # the same list again: its first answer was lost
            try:
                parts = [_block_key(shelf, stored, block) for block in blocks]
                await self._join(shelf, stored, parts, f"{prefix}{secrets.token_hex(8)}")
            except NotFoundError:
                raise UsageError("the block list names a block that was never sent") from None

    async def put_all(self, shelf: Shelf, stored: Stored, chunks: Chunks) -> None:
        """Take all of the thing's bytes at once."""
        async with self._alone(shelf, stored):
            stored = await self.find(shelf, stored.id)
            key = _new_key(shelf, stored.id)
            limit_bytes = await self.limit(shelf, stored)
            async with self._room.metered(shelf, stored, chunks) as counted:
                written = await self._blobs.write(
                    key, counted, limit_bytes=limit_bytes, headers=stored.headers
                )
            await self._mark_uploaded(shelf, stored, key, written)
            await self.remove_parts(shelf, stored.id)

    async def put_piece(self, shelf: Shelf, stored: Stored, start: int, size: int, chunks: Chunks) -> None:
        """Take a part by its place: the `size` bytes from `start` on. Raises MalformedError when it has another length."""
        key = f"{_parts_key(shelf, stored.id)}/{start:020}-{start + size:020}"
        async with self._room.reserved(shelf, stored, key, size):
            written = await self._blobs.write(key, chunks, limit_bytes=size)
            if written.size_bytes != size:
                await self._blobs.remove(key)
                raise MalformedError(f"the piece has {written.size_bytes} bytes, not {size}")

    async def join_pieces(self, shelf: Shelf, stored: Stored, size: int) -> bool:
        """Make the pieces that have arrived the thing's bytes; False unless they are `size` bytes without gap or overlap."""
        keys = sorted([found.key async for found in self._blobs.find(_parts_key(shelf, stored.id))])
        behind = 0
        for key in keys:
            start, end = map(int, key.rpartition("/")[2].split("-"))
            if start != behind:
                return False
            behind = end
        if not keys or behind != size:
            return False
        await self._join(shelf, stored, keys, _new_key(shelf, stored.id))
        return True

    async def remove_parts(self, shelf: Shelf, number: int) -> None:
        """Forget the parts of an upload that is over."""
        await self._blobs.remove(_parts_key(shelf, number))

    async def remove_all(self, shelf: Shelf, stored: Stored) -> None:
        """Forget the bytes of a thing that has no row any more."""
        await self.remove_parts(shelf, stored.id)
        if stored.blob:
            await self._blobs.remove(stored.blob)

    async def _join(self, shelf: Shelf, stored: Stored, parts: Sequence[str], key: str) -> None:
        limit_bytes = await self.limit(shelf, stored)
        written = await self._blobs.join(key, parts, limit_bytes=limit_bytes, headers=stored.headers)
        await self._mark_uploaded(shelf, stored, key, written)
        await self.remove_parts(shelf, stored.id)  # their bytes are in it, and count once

    async def _mark_uploaded(self, shelf: Shelf, stored: Stored, key: str, written: Written) -> None:
        is_marked = False
        try:
            async with self._changes.begin() as change:
                await check_room(change.connection, shelf, stored, written.size_bytes)
                is_marked = await shelf.mark_uploaded(change.connection, stored.id, key, written)
        except (ConflictError, TooLargeError):
            await self._blobs.remove(key)
            raise
        if not is_marked:
            await self._blobs.remove(key)
            raise ConflictError("it was completed or deleted meanwhile")
        if stored.blob:
            await self._blobs.remove(stored.blob)

    @asynccontextmanager
    async def _alone(self, shelf: Shelf, stored: Stored) -> AsyncIterator[None]:
        """Be the only request of this server that makes the thing whole: many at once would each write all of it."""
        turn = self._turns.setdefault((shelf.name, stored.id), asyncio.Lock())
        async with turn:
            yield


def _new_key(shelf: Shelf, number: int) -> str:
    return f"{shelf.name}/{number}/{secrets.token_hex(8)}"


def _parts_key(shelf: Shelf, number: int) -> str:
    return f"parts/{shelf.name}/{number}"


def _block_key(shelf: Shelf, stored: Stored, block: bytes) -> str:
    return f"{_parts_key(shelf, stored.id)}/{hashlib.sha256(block).hexdigest()}"
