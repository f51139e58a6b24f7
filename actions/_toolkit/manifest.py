"""Manifests of trees that are stored by content, as `agent/server/data/manifests.py` says them.

The chunks one after the other are the files one after the other, in the order in which they are listed.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from _toolkit.names import NOT_UNPACKED, check_names
from _toolkit.step import StepError

_VERSION = 1

Chunk = tuple[str, int]  # its SHA-256 in hex, and its length


@dataclass(frozen=True, slots=True)
class Manifest:
    """A tree: its chunks, files (name, permission bits, length), folders (name, bits) and links (name, where to)."""

    chunks: Sequence[Chunk]
    files: Sequence[tuple[str, int, int]]
    folders: Sequence[tuple[str, int]] = ()
    links: Sequence[tuple[str, str]] = ()

    @property
    def size(self) -> int:
        """The bytes of its files."""
        return sum(size for _, _, size in self.files)

    @property
    def count(self) -> int:
        """How many files and links it has."""
        return len(self.files) + len(self.links)

    def encode(self) -> bytes:
        """As it is stored; its SHA-256 is the tree's digest."""
        said = {
            "version": _VERSION,
            "chunks": self.chunks,
            "files": self.files,
            "folders": self.folders,
            "links": self.links,
        }
        return json.dumps(said, separators=(",", ":")).encode("ascii")


def read_manifest(raw: bytes) -> Manifest:
    """The manifest, if nothing in it would lie outside of its folder or in another's place. Raises StepError."""
    try:
        said = json.loads(raw)
        if said["version"] != _VERSION:
            raise StepError("this artifact is of a newer version", "update the agent")
        chunks = [(str(digest), _number(size)) for digest, size in said["chunks"]]
        files = [(str(name), _number(mode) & 0o777, _number(size)) for name, mode, size in said["files"]]
        folders = [(str(name), _number(mode) & 0o777) for name, mode in said["folders"]]
        links = [(str(name), str(leads_to)) for name, leads_to in said["links"]]
    except (ValueError, KeyError, TypeError):
        raise StepError("the artifact's manifest is damaged", NOT_UNPACKED) from None
    manifest = Manifest(chunks, files, folders, links)
    if manifest.size != sum(size for _, size in chunks):
        raise StepError("the artifact's manifest is damaged: its lengths differ", NOT_UNPACKED)
    leaves = [*(name for name, _, _ in files), *(name for name, _ in links)]
    check_names([*leaves, *(f"{name}/" for name, _ in folders)])
    return manifest


def _number(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError
    return value
