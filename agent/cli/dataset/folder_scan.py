"""The files of a folder that becomes a dataset's version: found, checked, hashed."""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.errors import UsageError
from agent.spec.dataset import ManifestFile, check_path

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """A file in the folder: its path there, and what it is of the dataset."""

    source: Path
    path: str
    size_bytes: int
    mode: str


def scan_folder(folder: Path, *, follows_links: bool = False) -> list[ScannedFile]:
    """All files below `folder`, by path. Empty folders are not kept.

    Raises UsageError for a symbolic link (unless `follows_links`: then it is what it leads to), for what is neither file
    nor folder, and for names that a dataset can't have.
    """
    if not folder.is_dir():
        raise UsageError("there is no such folder", where=str(folder))
    found = list(_walk(folder, "", follows_links=follows_links, above=frozenset()))
    if not found:
        raise UsageError("there are no files in the folder", where=str(folder))
    return sorted(found, key=lambda file: file.path.encode())


def hash_file(file: ScannedFile, on_bytes: Callable[[int], None]) -> ManifestFile:
    """The file with the digest of its bytes; `on_bytes` is told of each piece."""
    digest = hashlib.sha256()
    size = 0
    with file.source.open("rb") as content:
        while data := content.read(_CHUNK_BYTES):
            digest.update(data)
            size += len(data)
            on_bytes(len(data))
    return ManifestFile(file.path, size, f"sha256:{digest.hexdigest()}", file.mode)


def _walk(
    folder: Path, prefix: str, *, follows_links: bool, above: frozenset[tuple[int, int]]
) -> Iterator[ScannedFile]:
    about = folder.stat()
    here = (about.st_dev, about.st_ino)
    if here in above:
        raise UsageError("a link leads back to a folder that it is in", where=str(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            path = check_path(prefix + entry.name)
            if entry.is_symlink() and not follows_links:
                raise UsageError(
                    "a symbolic link can't be kept in a dataset",
                    where=entry.path,
                    hint="take it out, or give --follow-links to keep what it leads to",
                )
            kind = _stat(entry)
            if stat.S_ISDIR(kind.st_mode):
                yield from _walk(
                    Path(entry.path), f"{path}/", follows_links=follows_links, above=above | {here}
                )
            elif stat.S_ISREG(kind.st_mode):
                mode = "755" if kind.st_mode & stat.S_IXUSR else "644"
                yield ScannedFile(Path(entry.path), path, kind.st_size, mode)
            else:
                raise UsageError("this is neither a file nor a folder", where=entry.path)


def _stat(entry: "os.DirEntry[str]") -> os.stat_result:
    try:
        return entry.stat()
    except FileNotFoundError:
        raise UsageError("a symbolic link leads nowhere", where=entry.path) from None
