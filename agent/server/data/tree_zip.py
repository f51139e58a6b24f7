"""A tree that is stored by content, as a zip that is made while it is sent: for GitHub's own clients, browsers and who wants one.

Every file is deflated in blocks that are stored as they are: nothing is computed but its CRC, the length of all is known before
the first byte, and readers that never look back (those of GitHub's clients) find each file's end in the data itself, which they
can't in a file that is only stored. APPNOTE.TXT 6.3.10: 4.3.7 local header, 4.3.9 data descriptor, 4.3.12 central directory,
4.3.14 ZIP64; RFC 1951, 3.2.4: blocks without compression.
"""

import posixpath
import stat
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agent.server.data.manifests import TreeManifest

_BLOCK: Final = 0xFFFF
_LIMIT: Final = 0xFFFFFFFF
_MOST_ENTRIES: Final = 0xFFFF
_UTF8, _DESCRIPTOR = 0x800, 0x8
_DEFLATED, _STORED = 8, 0
_BY_UNIX: Final = (3 << 8) | 45
_DATE: Final = (0, 0x21)  # the first day of 1980: a tree has no times
_LONGEST_CHAIN: Final = 40  # of links

ReadBytes = Callable[[int, int], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file of `size` bytes from `start` on in the tree's own bytes; a folder (its name ends in `/`), or a link (`link` says where to)."""

    name: str
    mode: int
    start: int = 0
    size: int = 0
    link: bytes = b""

    @property
    def raw_name(self) -> bytes:
        """Its name's bytes."""
        return self.name.encode("utf-8", "surrogateescape")

    @property
    def is_file(self) -> bool:
        """Whether its bytes are in the tree."""
        return not self.link and not self.name.endswith("/")


def list_entries(manifest: TreeManifest, *, follows_links: bool) -> list[ZipEntry]:
    """What is in the zip of a tree. With `follows_links` a link is a copy of what it leads to, as GitHub's clients have it."""
    files, start = [], 0
    for file in manifest.files:
        files.append(ZipEntry(file.name, stat.S_IFREG | file.mode, start, file.size_bytes))
        start += file.size_bytes
    folders = [ZipEntry(f"{name}/", stat.S_IFDIR | mode) for name, mode in manifest.folders]
    if follows_links:
        return [*files, *folders, *_follow(manifest.links, files)]
    links = [
        ZipEntry(name, stat.S_IFLNK | 0o777, link=leads_to.encode("utf-8", "surrogateescape"))
        for name, leads_to in manifest.links
    ]
    return [*files, *folders, *links]


def measure_zip(entries: Sequence[ZipEntry]) -> int:
    """How many bytes the zip has."""
    offset = directory = 0
    for entry in entries:
        directory += len(_central(entry, 0, offset))
        offset += _length(entry)
    return offset + directory + len(_end(len(entries), directory, offset))


async def write_zip(entries: Sequence[ZipEntry], read: ReadBytes) -> AsyncIterator[bytes]:
    """The zip's bytes; `read` gives the tree's own from one place up to another."""
    stream = _Bytes(read, entries)
    offset, sums = 0, []
    for entry in entries:
        yield _local(entry)
        if entry.is_file:
            sums.append(0)
            async for piece in stream.of(entry):
                sums[-1] = zlib.crc32(piece.data, sums[-1])
                yield piece.framed
            yield _descriptor(entry, sums[-1])
        else:
            sums.append(zlib.crc32(entry.link))
            yield entry.link
        offset += _length(entry)
    directory, at = 0, 0
    batch: list[bytes] = []
    for entry, checksum in zip(entries, sums, strict=True):
        batch.append(_central(entry, checksum, at))
        directory += len(batch[-1])
        at += _length(entry)
    yield b"".join(batch)
    yield _end(len(entries), directory, offset)


@dataclass(frozen=True, slots=True)
class _Piece:
    """Bytes of a file, and the same with the heads of the blocks that begin in them."""

    data: bytes
    framed: bytes


class _Bytes:
    """The bytes of files, which mostly follow one another: then they are read in one go."""

    def __init__(self, read: ReadBytes, entries: Sequence[ZipEntry]) -> None:
        self._read = read
        self._end = max((entry.start + entry.size for entry in entries), default=0)
        self._at = 0
        self._rest = b""
        self._stream = read(0, self._end)

    async def of(self, entry: ZipEntry) -> AsyncIterator[_Piece]:
        """One file's."""
        if entry.start != self._at:
            self._at, self._rest = entry.start, b""
            self._stream = self._read(entry.start, self._end)
        left, in_block = entry.size, 0
        if not left:
            yield _Piece(b"", _head(0, is_last=True))
        while left:
            if not self._rest:
                self._rest = await anext(self._stream)
            data, self._rest = self._rest[:left], self._rest[left:]
            framed, in_block = _frame(data, left, in_block)
            left -= len(data)
            self._at += len(data)
            yield _Piece(data, framed)


def _frame(data: bytes, left: int, in_block: int) -> tuple[bytes, int]:
    """`data` with the heads of blocks; `left` bytes of the file are to come with it, `in_block` of them in the block that it begins in."""
    parts: list[bytes] = []
    at = 0
    while at < len(data):
        if not in_block:
            in_block = min(_BLOCK, left - at)
            parts.append(_head(in_block, is_last=left - at == in_block))
        part = data[at : at + in_block]
        parts.append(part)
        at += len(part)
        in_block -= len(part)
    return b"".join(parts), in_block


def _head(size: int, *, is_last: bool) -> bytes:
    return struct.pack("<BHH", is_last, size, size ^ _BLOCK)


def _packed(size: int) -> int:
    return size + 5 * max(1, -(-size // _BLOCK))


def _is_large(entry: ZipEntry) -> bool:
    return _packed(entry.size) >= _LIMIT


def _length(entry: ZipEntry) -> int:
    """Bytes of an entry before the directory."""
    if not entry.is_file:
        return len(_local(entry)) + len(entry.link)
    return len(_local(entry)) + _packed(entry.size) + (24 if _is_large(entry) else 16)


def _flags(entry: ZipEntry) -> int:
    name = entry.raw_name
    is_text = name.isascii() or name.decode("utf-8", "replace").encode() == name
    return (_UTF8 if is_text else 0) | (_DESCRIPTOR if entry.is_file else 0)


def _local(entry: ZipEntry) -> bytes:
    name, is_large = entry.raw_name, _is_large(entry)
    extra = struct.pack("<HHQQ", 1, 16, 0, 0) if is_large else b""
    size = _LIMIT if is_large else len(entry.link)
    checksum = 0 if entry.is_file else zlib.crc32(entry.link)
    method = _DEFLATED if entry.is_file else _STORED
    fields = (0x04034B50, 45, _flags(entry), method, *_DATE, checksum, size, size, len(name), len(extra))
    return struct.pack("<IHHHHHIIIHH", *fields) + name + extra


def _descriptor(entry: ZipEntry, checksum: int) -> bytes:
    form = "<IIQQ" if _is_large(entry) else "<IIII"
    return struct.pack(form, 0x08074B50, checksum, _packed(entry.size), entry.size)


def _central(entry: ZipEntry, checksum: int, offset: int) -> bytes:
    name = entry.raw_name
    size = entry.size if entry.is_file else len(entry.link)
    packed = _packed(size) if entry.is_file else size
    wide = [number for number in (size, packed, offset) if number >= _LIMIT]
    extra = struct.pack(f"<HH{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
    narrow = [min(number, _LIMIT) for number in (packed, size, offset)]
    method = _DEFLATED if entry.is_file else _STORED
    is_folder = 0x10 if entry.name.endswith("/") else 0
    fields = (
        *(0x02014B50, _BY_UNIX, 45, _flags(entry), method, *_DATE, checksum, narrow[0], narrow[1]),
        *(len(name), len(extra), 0, 0, 0, entry.mode << 16 | is_folder, narrow[2]),
    )
    return struct.pack("<IHHHHHHIIIHHHHHII", *fields) + name + extra


def _end(count: int, directory: int, offset: int) -> bytes:
    end = struct.pack(
        "<IHHHHIIH",
        *(0x06054B50, 0, 0, min(count, _MOST_ENTRIES), min(count, _MOST_ENTRIES)),
        *(min(directory, _LIMIT), min(offset, _LIMIT), 0),
    )
    if count < _MOST_ENTRIES and directory < _LIMIT and offset < _LIMIT:
        return end
    wide = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, _BY_UNIX, 45, 0, 0, count, count, directory, offset)
    return wide + struct.pack("<IIQI", 0x07064B50, 0, offset + directory, 1) + end


def _follow(links: Sequence[tuple[str, str]], files: Sequence[ZipEntry]) -> Iterator[ZipEntry]:
    """Copies of what the links lead to; a link to nothing, or around in circles, is left out."""
    by_name, leads_to = {file.name: file for file in files}, dict(links)
    for name, _ in links:
        target = name
        for _ in range(_LONGEST_CHAIN):
            if target not in leads_to:
                break
            target = posixpath.normpath(posixpath.join(posixpath.dirname(target), leads_to[target]))
        if target in by_name:
            yield _copy(by_name[target], name)
        else:
            prefix = "" if target == "." else f"{target}/"
            yield from (
                _copy(file, f"{name}/{file.name[len(prefix) :]}")
                for file in files
                if file.name.startswith(prefix) and not name.startswith(prefix)
            )


def _copy(file: ZipEntry, name: str) -> ZipEntry:
    return ZipEntry(name, file.mode, file.start, file.size)
