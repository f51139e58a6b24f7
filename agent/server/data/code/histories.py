"""Histories of repositories that a project has: so that the next run's code is sent as what is new in it."""

import io
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from agent import codec
from agent.errors import DamagedError
from agent.server.data.blobs.store import BlobStore
from agent.server.store import runs, snapshots
from agent.server.store.database import Connection, Database
from agent.serving_git.bundle import read_header
from agent.spec.job import Source

_MOST: Final = 5
_RUNS_ASKED: Final = 50
_HEADER_BYTES: Final = 1 << 20


class HistoryView(msgspec.Struct):
    """Bundles that are here, in their order, the commit that a run grew from, and the branches and tags that they have."""

    bundles: list[str]
    commit: str
    refs: dict[str, str]


class HistoryList(msgspec.Struct):
    """Histories, the newest first."""

    items: list[HistoryView]


class Histories:
    """The histories that runs of a project have brought."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    async def list_newest(self, project: int) -> HistoryList:
        """Those of the newest runs, without what nobody had committed."""
        found: dict[tuple[str, ...], HistoryView] = {}
        async with self._database.read() as connection:
            async for source in _list_sources(connection, project):
                changed = source.tip != source.commit
                bundles = source.bundles[:-1] if changed else source.bundles
                if bundles and bundles not in found and len(found) < _MOST:
                    blob = await self._find_last(connection, project, bundles)
                    if blob:
                        found[bundles] = HistoryView(
                            list(bundles), source.commit, await self._read_refs(blob)
                        )
        return HistoryList(list(found.values()))

    async def _find_last(self, connection: Connection, project: int, bundles: tuple[str, ...]) -> str:
        """Where the last of the bundles lies; empty when one of them has gone."""
        rows = [await snapshots.find_snapshot(connection, project, digest) for digest in bundles]
        last = rows[-1]
        return last.blob if last is not None and None not in rows else ""

    async def _read_refs(self, blob: str) -> dict[str, str]:
        """Its branches and tags; none when they are too many."""
        head = io.BytesIO()
        async for chunk in self._blobs.read(blob, 0, _HEADER_BYTES):
            head.write(chunk)
        head.seek(0)
        try:
            return read_header(head).refs
        except DamagedError:
            return {}


async def _list_sources(connection: Connection, project: int) -> AsyncIterator[Source]:
    for text in await runs.list_sources(connection, project, '"bundles"', _RUNS_ASKED):
        yield codec.parse(Source, text, where="a run's source")
