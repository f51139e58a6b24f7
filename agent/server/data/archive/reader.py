"""Reading an archived journal: from an offset, from a line, or from its end; only what is needed is fetched."""

from collections.abc import AsyncIterator, Awaitable, Callable

from agent.journal.format import Record
from agent.server.data.archive.format import FOOTER, ArchiveEntry, read_footer, read_frame, read_node

Fetch = Callable[[int, int], Awaitable[bytes]]  # the archive's bytes from an offset up to another
Found = list[tuple[int, Record]]


class ArchiveReader:
    """One archive of `size_bytes`."""

    def __init__(self, fetch: Fetch, size_bytes: int) -> None:
        self._fetch = fetch
        self._size_bytes = size_bytes

    async def frames_from(self, offset: int) -> AsyncIterator[Found]:
        """The records behind the journal's `offset`, frame by frame."""
        async for entry in self._walk(lambda entry: entry.end <= offset):
            yield [(end, record) for end, record in await self._open(entry) if end > offset]

    async def find_start(self, offset: int) -> int:
        """From where to read so that the lines behind the journal's `offset` are whole."""
        async for entry in self._walk(lambda entry: entry.end < offset):
            return entry.whole_from
        return 0

    async def frames_from_line(self, line: int, step: int | None) -> AsyncIterator[tuple[int, Found]]:
        """The frames from the one on in which `line` (from 1; of `step`, or of all) begins.

        With each, how many lines have ended before it.
        """
        ended = 0

        def skip(entry: ArchiveEntry) -> bool:
            nonlocal ended
            if ended + entry.count(step) >= line - 1:
                return False
            ended += entry.count(step)
            return True

        async for entry in self._walk(skip):
            yield ended, list(await self._open(entry))
            ended += entry.count(step)

    async def frames_backwards(self) -> AsyncIterator[Found]:
        """The frames from the last to the first."""
        async for entry in self._walk(lambda _entry: False, backwards=True):
            yield list(await self._open(entry))

    async def _open(self, entry: ArchiveEntry) -> Found:
        return list(read_frame(entry, await self._fetch(entry.offset, entry.offset + entry.length)))

    async def _walk(
        self, skip: Callable[[ArchiveEntry], bool], *, backwards: bool = False
    ) -> AsyncIterator[ArchiveEntry]:
        """The frames' entries in order, without those below an entry that `skip` leaves out; asked in that order."""
        footer = await self._fetch(self._size_bytes - FOOTER.size, self._size_bytes)
        offset, length, depth = read_footer(footer)
        stack = [(ArchiveEntry(offset, length, 0, 0, {}, 0, 0), depth)]
        is_root = True
        while stack:
            entry, level = stack.pop()
            if not is_root and skip(entry):
                continue
            is_root = False
            if level == 0:
                yield entry
                continue
            below = read_node(await self._fetch(entry.offset, entry.offset + entry.length))
            stack += [(child, level - 1) for child in (below if backwards else reversed(below))]
