"""Trees that are stored by content, as they are read: by those who know their chunks."""

import bisect
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from agent.errors import NotFoundError
from agent.server.data.blobs.store import BlobStore
from agent.server.data.manifests import in_batches, read_manifest
from agent.server.data.tree_zip import list_entries, measure_zip, write_zip
from agent.server.people.auth.runtime import JobIdentity
from agent.server.pools import Pool
from agent.server.store import artifacts, packs
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.database import Database
from agent.server.store.packs import PlacedChunk
from agent.server.store.states import UploadStatus

_CHUNKS_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class TreeBytes:
    """Bytes to read: how many, and their pieces."""

    size_bytes: int
    pieces: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class _Span:
    """Bytes of one blob, from `start` up to `end`."""

    blob: str
    start: int
    end: int


class TreeReading:
    """Reads the trees of artifacts."""

    def __init__(self, database: Database, blobs: BlobStore, files: Pool) -> None:
        self._database = database
        self._blobs = blobs
        self._files = files

    async def find(self, artifact: int, job: JobIdentity | None) -> ArtifactRow:
        """A finished tree; to a `job` one of its run, or that was brought to it. Raises NotFoundError."""
        async with self._database.read() as connection:
            row = await artifacts.find_artifact(connection, artifact)
            is_theirs = row is not None and (
                job is None or row.run == job.run or await artifacts.is_brought(connection, artifact, job.job)
            )
        if row is None or not is_theirs or row.status is not UploadStatus.FINAL or not row.is_tree:
            raise NotFoundError("there is no such tree, or it was not brought to this job")
        return row

    def read_manifest(self, row: ArtifactRow) -> TreeBytes:
        """The tree's manifest."""
        return TreeBytes(row.manifest_bytes or 0, self._blobs.read(row.blob))

    async def read_chunks(self, row: ArtifactRow, digests: Sequence[str]) -> TreeBytes:
        """These chunks, one after the other. Raises NotFoundError when the tree does not have one of them."""
        spans = await self._find_spans(row.id, digests)
        return TreeBytes(sum(span.end - span.start for span in spans), self._read(spans))

    async def open_zip(self, artifact: int, manifest_blob: str, *, follows_links: bool) -> TreeBytes:
        """The tree as a zip, which is made while it is read. With `follows_links` a link is a copy of what it leads to."""
        raw = b"".join([piece async for piece in self._blobs.read(manifest_blob)])
        manifest = await self._files.run(read_manifest, raw)
        entries = list_entries(manifest, follows_links=follows_links)
        starts = [0, *accumulate(chunk.size_bytes for chunk in manifest.chunks)]

        async def read(start: int, end: int) -> AsyncIterator[bytes]:
            first, last = bisect.bisect_right(starts, start) - 1, bisect.bisect_left(starts, end)
            skip = start - starts[first]
            digests = [chunk.digest for chunk in manifest.chunks[first:last]]
            async for piece in self._read_stream(artifact, digests):
                if len(piece) > skip:
                    yield piece[skip:] if skip else piece
                skip = max(0, skip - len(piece))

        return TreeBytes(await self._files.run(measure_zip, entries), write_zip(entries, read))

    async def _read_stream(self, artifact: int, digests: Sequence[str]) -> AsyncIterator[bytes]:
        for part in in_batches(digests, _CHUNKS_AT_ONCE):
            async for piece in self._read(await self._find_spans(artifact, part)):
                yield piece

    async def _find_spans(self, artifact: int, digests: Sequence[str]) -> list[_Span]:
        async with self._database.read() as connection:
            found = await packs.find_claimed(connection, artifact, list(set(digests)))
        if any(digest not in found for digest in digests):
            raise NotFoundError("the tree has no such chunk")
        return _join([found[digest] for digest in digests])

    async def _read(self, spans: Sequence[_Span]) -> AsyncIterator[bytes]:
        for span in spans:
            async for piece in self._blobs.read(span.blob, span.start, span.end):
                yield piece


def _join(placed: Sequence[PlacedChunk]) -> list[_Span]:
    """Where the chunks lie; those that follow one another in a blob as one span."""
    spans: list[_Span] = []
    for one in placed:
        last = spans[-1] if spans else None
        if last is not None and last.blob == one.blob and last.end == one.offset:
            spans[-1] = _Span(last.blob, last.start, one.offset + one.size_bytes)
        else:
            spans.append(_Span(one.blob, one.offset, one.offset + one.size_bytes))
    return spans
