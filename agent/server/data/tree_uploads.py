"""Trees that jobs upload by content: what the project has is not sent.

    reserve (`job_artifacts`) -> claim: which chunks are missing? -> packs of these -> the manifest -> finish (`job_artifacts`)

All of it may be sent again, and is from an upload that was cut off: what had arrived is claimed and not sent. Nobody sees
anything before the last step. What an upload was told is here stays for as long as the upload does (`store/packs.py`).

A run that is not trusted is told only of what it has brought here itself: else it could ask whether the project has a content.
"""

import hashlib
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from agent.errors import DamagedError, NotFoundError, UsageError
from agent.server.data.blobs.store import BlobStore
from agent.server.data.manifests import LONGEST_MANIFEST, TreeManifest, check_chunk, in_batches, read_manifest
from agent.server.data.shelves import check_quota
from agent.server.data.tree_zip import list_entries, measure_zip
from agent.server.events.changes import Changes
from agent.server.people.auth.runtime import JobIdentity
from agent.server.pools import Pool
from agent.server.process.problems import ConflictError, TooLargeError
from agent.server.store import artifacts, deliveries, packs, projects, uploads
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.database import Connection
from agent.server.store.packs import Chunk, PackRow, PlacedChunk
from agent.server.store.states import UploadStatus

LARGEST_PACK: Final = 32 << 20
_LONGEST_HEAD: Final = 1 << 20
_CHUNKS_AT_ONCE: Final = 2000
SWEPT_AFTER_SECONDS: Final = 86_400.0  # so that an upload that was broken off goes on where it was


@dataclass(frozen=True, slots=True)
class _Upload:
    """An upload that takes chunks: its artifact, project, and (only) the run whose packs it is told of."""

    row: ArtifactRow
    project: int
    only_run: int | None
    room: int | None
    used: int


class TreeUploads:
    """Takes the trees of jobs. An artifact has `most_bytes` at most, whatever its project has room for."""

    def __init__(self, changes: Changes, blobs: BlobStore, files: Pool, most_bytes: int) -> None:
        self._changes = changes
        self._blobs = blobs
        self._files = files
        self._most_bytes = most_bytes

    async def claim(self, job: JobIdentity, artifact: int, wanted: Sequence[Chunk]) -> list[str]:
        """The chunks that are still to be sent; those that are here stay from now on. Raises NotFoundError, ConflictError."""
        async with self._changes.database.read() as connection:
            upload = await self._find(connection, job, artifact)
            known = await _find_known(connection, upload, wanted)
        if known:
            async with self._changes.database.write() as connection:
                await packs.lock_packs(connection, upload.project)
                known = await _find_known(connection, upload, wanted)
                await packs.claim_packs(connection, artifact, sorted({one.pack for one in known.values()}))
        return [chunk.digest for chunk in wanted if chunk.digest not in known]

    async def put_pack(
        self, job: JobIdentity, artifact: int, size_bytes: int, stream: AsyncIterator[bytes]
    ) -> None:
        """Take a pack: four bytes, which say how long its list of chunks is, the list, and their bytes.

        Raises TooLargeError, DamagedError for bytes that are not what the list says, UsageError, NotFoundError, ConflictError.
        """
        if size_bytes > LARGEST_PACK + _LONGEST_HEAD:
            raise TooLargeError(f"a pack has up to {LARGEST_PACK} bytes")
        async with self._changes.database.read() as connection:
            upload = await self._find(connection, job, artifact)
        check_quota(upload.room, upload.used, size_bytes)
        body = _Pack(stream)
        listed = await body.read_head()
        key = f"packs/{upload.project}/{secrets.token_hex(16)}"
        is_kept = False
        try:
            written = await self._blobs.write(
                key, body.rest(), limit_bytes=LARGEST_PACK, check=ChunkCheck(listed)
            )
            is_kept = await self._add(job, artifact, key, written.size_bytes, listed)
        finally:
            if not is_kept:
                await self._blobs.remove(key)

    async def put_manifest(self, job: JobIdentity, artifact: int, raw: bytes) -> str:
        """All chunks have come, and this is what they are: the tree's digest. Raises UsageError, ConflictError, TooLargeError."""
        async with self._changes.database.read() as connection:
            upload = await self._find(connection, job, artifact)
        manifest = await self._files.run(read_manifest, raw)
        digest = f"sha256:{hashlib.sha256(raw).hexdigest()}"
        async with self._changes.database.read() as connection:
            await _check_all_here(connection, artifact, manifest)
        zip_bytes = await self._files.run(measure_zip, list_entries(manifest, follows_links=False))
        if manifest.size_bytes > self._most_bytes:
            raise TooLargeError(f"insufficient usage: it would have more than {self._most_bytes} bytes")
        check_quota(upload.room, upload.used, len(raw))
        key = f"artifacts/{artifact}/{secrets.token_hex(8)}"
        await self._blobs.write(key, _once(raw), limit_bytes=LONGEST_MANIFEST)
        is_marked = False
        try:
            async with self._changes.begin() as change:
                is_marked = await artifacts.mark_uploaded(
                    change.connection,
                    artifact,
                    key,
                    zip_bytes,
                    digest,
                    manifest_bytes=len(raw),
                )
        finally:
            if not is_marked:
                await self._blobs.remove(key)
        if not is_marked:
            raise ConflictError("it was completed or deleted meanwhile")
        if upload.row.blob:
            await self._blobs.remove(upload.row.blob)
        return digest

    async def _find(self, connection: Connection, job: JobIdentity, artifact: int) -> _Upload:
        """The job's own upload of a tree. Raises NotFoundError; ConflictError when it takes nothing (any more)."""
        row = await artifacts.find_artifact(connection, artifact)
        if row is None or row.job != job.job or not row.is_tree:
            raise NotFoundError("there is no such upload of this job")
        found = await uploads.find_upload(connection, "artifacts", artifact)
        if found is None or not found.is_open or row.status is UploadStatus.FINAL:
            raise ConflictError("the upload is complete, or its job has ended: nothing can be added")
        project = await projects.find_project(connection, found.project)
        origin = await deliveries.find_origin(connection, job.run)
        is_trusted = origin is None or origin.is_trusted
        room = None if project is None else project.settings.max_artifact_bytes
        return _Upload(row, found.project, None if is_trusted else job.run, room, found.others_bytes)

    async def _add(
        self, job: JobIdentity, artifact: int, key: str, size_bytes: int, listed: Sequence[Chunk]
    ) -> bool:
        """Count on the chunks, which the job has shown to have; whether the pack is needed, or others had all of them."""
        async with self._changes.begin() as change:
            connection = change.connection
            upload = await self._find(connection, job, artifact)
            await packs.lock_packs(connection, upload.project)
            known = await packs.find_chunks(connection, upload.project, [one.digest for one in listed])
            await packs.claim_packs(connection, artifact, sorted({one.pack for one in known.values()}))
            placed = [one for one in _place(listed) if one.digest not in known]
            if placed:
                await self._check_room(connection, upload, size_bytes)
                row = PackRow(0, upload.project, upload.only_run, key, size_bytes, change.now)
                await packs.add_pack(connection, artifact, row, placed)
        return bool(placed)

    async def _check_room(self, connection: Connection, upload: _Upload, size_bytes: int) -> None:
        used = await artifacts.size_of_all(connection, upload.project)
        check_quota(upload.room, used, size_bytes)


class _Pack:
    """A pack on its way in."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._rest = b""

    async def read_head(self) -> list[Chunk]:
        """The list of its chunks. Raises UsageError, TooLargeError."""
        length = int.from_bytes(await self._take(4), "big")
        if length > _LONGEST_HEAD:
            raise TooLargeError("the list of a pack's chunks is too long")
        try:
            listed = [check_chunk(*entry) for entry in json.loads(await self._take(length))]
        except (ValueError, TypeError, RecursionError):
            raise UsageError("a pack begins with the list of its chunks") from None
        if len({chunk.digest for chunk in listed}) != len(listed) or not listed:
            raise UsageError("a pack has every chunk once, and one at least")
        if sum(chunk.size_bytes for chunk in listed) > LARGEST_PACK:
            raise TooLargeError(f"a pack has up to {LARGEST_PACK} bytes")
        return listed

    async def rest(self) -> AsyncIterator[bytes]:
        """The bytes of its chunks."""
        if self._rest:
            yield self._rest
        async for piece in self._stream:
            yield piece

    async def _take(self, count: int) -> bytes:
        while len(self._rest) < count:
            piece = await anext(self._stream, None)
            if piece is None:
                raise UsageError("the pack ends in the middle")
            self._rest += piece
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken


class ChunkCheck:
    """Chunks, one after the other, held against what they should be."""

    def __init__(self, listed: Sequence[Chunk]) -> None:
        self._left = iter(listed)
        self._chunk = next(self._left, None)
        self._hash = hashlib.sha256()
        self._missing = self._chunk.size_bytes if self._chunk else 0

    def add(self, data: bytes) -> None:
        """More bytes. Raises DamagedError."""
        view = memoryview(data)
        while view:
            if self._chunk is None:
                raise DamagedError("more bytes came than the pack's list names")
            part, view = view[: self._missing], view[self._missing :]
            self._hash.update(part)
            self._missing -= len(part)
            if not self._missing:
                self._next()

    def end(self) -> None:
        """There are no more. Raises DamagedError."""
        if self._chunk is not None:
            raise DamagedError("the pack ends in the middle of a chunk", where=self._chunk.digest)

    def _next(self) -> None:
        assert self._chunk is not None
        if self._hash.hexdigest() != self._chunk.digest:
            raise DamagedError(
                f"a chunk came with the digest {self._hash.hexdigest()}",
                where=self._chunk.digest,
                hint="was its file changed while it was sent?",
            )
        self._chunk, self._hash = next(self._left, None), hashlib.sha256()
        self._missing = self._chunk.size_bytes if self._chunk else 0


async def _find_known(
    connection: Connection, upload: _Upload, wanted: Sequence[Chunk]
) -> dict[str, PlacedChunk]:
    digests = [chunk.digest for chunk in wanted]
    own = await packs.find_claimed(connection, upload.row.id, digests)
    return own | await packs.find_chunks(connection, upload.project, digests, told_run=upload.only_run)


async def _check_all_here(connection: Connection, artifact: int, manifest: TreeManifest) -> None:
    """Raises ConflictError when a chunk of the manifest has not come, UsageError when one has another length."""
    sizes = {chunk.digest: chunk.size_bytes for chunk in manifest.chunks}
    missing = 0
    for digests in in_batches(list(sizes), _CHUNKS_AT_ONCE):
        found = await packs.find_claimed(connection, artifact, digests)
        missing += len(digests) - len(found)
        for digest, one in found.items():
            if one.size_bytes != sizes[digest]:
                raise UsageError(f"this chunk has {one.size_bytes} bytes", where=digest)
    if missing:
        raise ConflictError(f"{missing} chunks have not arrived", hint="ask again which are missing")


def _place(listed: Sequence[Chunk]) -> list[PlacedChunk]:
    placed, offset = [], 0
    for chunk in listed:
        placed.append(PlacedChunk(chunk.digest, chunk.size_bytes, 0, offset))
        offset += chunk.size_bytes
    return placed


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
