"""Manifests of trees that are stored by content: which chunks, in which order, and which files they are.

    {"version": 1, "chunks": [["SHA-256 in hex", SIZE], ...],
     "files": [["NAME", MODE, SIZE], ...], "folders": [["NAME", MODE], ...], "links": [["NAME", "WHERE TO"], ...]}

The chunks one after the other are the files one after the other: a chunk may hold many small files, and a large file have many
chunks. Names are relative paths from the tree's top; a byte of one that is not UTF-8 is written as Python's `surrogateescape`
has it. A manifest's SHA-256 is the digest of its tree: equal trees have equal ones. Written by `actions/_toolkit/manifest.py`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agent.errors import UsageError
from agent.server.store.packs import Chunk
from agent.visible import show_name

LONGEST_MANIFEST: Final = 32 << 20
LARGEST_CHUNK: Final = 8 << 20
_VERSION = 1
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LONGEST_NAME_BYTES: Final = 4000
_MODES: Final = 0o777


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file: its name, its permission bits and its length."""

    name: str
    mode: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TreeManifest:
    """What is in a tree. `folders` are (name, mode), `links` (name, where it leads)."""

    chunks: Sequence[Chunk]
    files: Sequence[TreeFile]
    folders: Sequence[tuple[str, int]]
    links: Sequence[tuple[str, str]]

    @property
    def size_bytes(self) -> int:
        """The bytes of its files."""
        return sum(file.size_bytes for file in self.files)


def read_manifest(raw: bytes) -> TreeManifest:
    """The manifest, when it is one. Raises UsageError."""
    try:
        said = json.loads(raw)
        if said["version"] != _VERSION:
            raise UsageError(f"a manifest of version {_VERSION} is read here", where="manifest")
        manifest = TreeManifest(
            [check_chunk(*entry) for entry in said["chunks"]],
            [
                TreeFile(_name(name), _number(mode, _MODES), _number(size))
                for name, mode, size in said["files"]
            ],
            [(_name(name), _number(mode, _MODES)) for name, mode in said["folders"]],
            [(_name(name), _text(leads_to)) for name, leads_to in said["links"]],
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError("this is no manifest of a tree", where="manifest") from None
    _check_tree(manifest)
    return manifest


def check_chunk(digest: Any, size: Any) -> Chunk:
    """The chunk that is named. Raises UsageError."""
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise UsageError("a chunk is named by its SHA-256, in 64 hexadecimal digits")
    if not 0 < _number(size) <= LARGEST_CHUNK:
        raise UsageError(f"a chunk has 1 to {LARGEST_CHUNK} bytes", where=digest)
    return Chunk(digest, size)


def in_batches(items: Sequence[Any], count: int) -> Iterator[Sequence[Any]]:
    """The items, so many at a time."""
    for at in range(0, len(items), count):
        yield items[at : at + count]


def _check_tree(manifest: TreeManifest) -> None:
    """Raises UsageError unless the chunks are as long as the files, and every name is one thing's."""
    if manifest.size_bytes != sum(chunk.size_bytes for chunk in manifest.chunks):
        raise UsageError("the chunks of this manifest are not as long as its files", where="manifest")
    leaves = [*(file.name for file in manifest.files), *(name for name, _ in manifest.links)]
    names = {*leaves, *(name for name, _ in manifest.folders)}
    if len(names) != len(leaves) + len(manifest.folders):
        raise UsageError("this manifest has a name twice", where="manifest")
    inner = {name.rpartition("/")[0] for name in names} - {""}
    while inner:
        if not inner.isdisjoint(leaves):
            raise UsageError("this manifest has something below a file or a link", where="manifest")
        inner = {name.rpartition("/")[0] for name in inner} - {""}


def _name(value: Any) -> str:
    name = _text(value)
    if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
        raise UsageError("a name leads out of its tree", where=show_name(name[:80]))
    return name


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_NAME_BYTES:
        raise TypeError
    value.encode(
        "utf-8", "surrogateescape"
    )  # raises UnicodeEncodeError, a ValueError, for what is no path's bytes
    return value


def _number(value: Any, most: int = 1 << 53) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise TypeError
    return value
