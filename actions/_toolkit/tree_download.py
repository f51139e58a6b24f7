"""Trees from the server, by content: each chunk is fetched once, held against its digest, and written to all places where it is.

A connection that breaks costs the chunks that were on it. Links come last, when nothing is written any more that could go through one.
"""

import bisect
import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from _toolkit.links import make_links
from _toolkit.manifest import Chunk, Manifest, read_manifest
from _toolkit.names import NOT_UNPACKED
from _toolkit.progress import Progress
from _toolkit.step import StepError, human

_SPAN_BYTES = 8 << 20
_SPAN_CHUNKS = 500
_AT_A_TIME = 4


class TreeSource(Protocol):
    """Where chunks come from."""

    def fetch_manifest(self) -> bytes:
        """What is in the tree."""
        ...

    def fetch_chunks(self, digests: Sequence[str]) -> bytes:
        """These chunks, one after the other."""
        ...


def download_tree(
    source: TreeSource, digest: str, folder: Path, on_bytes: "Callable[[int], object] | None" = None
) -> Manifest:
    """Make the new `folder` of the tree; `on_bytes` is told of bytes that have come, else the log is. Raises StepError for what is not what its digest says, or leads out, or has no room."""
    raw = source.fetch_manifest()
    came = f"sha256:{hashlib.sha256(raw).hexdigest()}"
    if digest and came != digest:
        raise StepError(f"the artifact's manifest came as {came}, and is {digest}", NOT_UNPACKED)
    manifest = read_manifest(raw)
    free = shutil.disk_usage(folder.parent).free
    if manifest.size > free:
        raise StepError(f"the artifact needs {human(manifest.size)}, and {human(free)} are free on this disk")
    folder.mkdir()
    target = _Target(folder, manifest)
    target.make_folders()
    count_bytes = on_bytes or Progress(manifest.size, "downloaded").add

    def bring(span: Sequence[Chunk]) -> None:
        data = memoryview(source.fetch_chunks([chunk for chunk, _ in span]))
        if len(data) != sum(size for _, size in span):
            raise StepError("the server sent other chunks than it was asked for", NOT_UNPACKED)
        for chunk, size in span:
            part, data = data[:size], data[size:]
            target.write(chunk, part)
            count_bytes(size * target.count(chunk))

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        for done in [pool.submit(bring, span) for span in _in_spans(target.chunks)]:
            done.result()
    target.finish()
    make_links(folder, [(folder / name, leads_to) for name, leads_to in manifest.links])
    for name, mode in manifest.folders:
        (folder / name).chmod(mode | 0o700)
    return manifest


def _in_spans(chunks: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    span: list[Chunk] = []
    size = 0
    for chunk in chunks:
        if span and (size + chunk[1] > _SPAN_BYTES or len(span) >= _SPAN_CHUNKS):
            yield span
            span, size = [], 0
        span.append(chunk)
        size += chunk[1]
    if span:
        yield span


class _Target:
    """The files of a tree that is being written. Any thread may write any chunk."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder = str(folder)
        self._manifest = manifest
        self._starts = [0, *itertools.accumulate(size for _, _, size in manifest.files)]
        self._places: dict[str, list[int]] = {}
        self._late: list[int] = []
        self._mask = os.umask(0o077)  # what new files go without, unless they are told
        os.umask(self._mask)
        offset = 0
        for digest, size in manifest.chunks:
            self._places.setdefault(digest, []).append(offset)
            offset += size
        self.chunks: list[Chunk] = list(dict.fromkeys((digest, size) for digest, size in manifest.chunks))

    def count(self, digest: str) -> int:
        """In how many places the chunk is."""
        return len(self._places[digest])

    def make_folders(self) -> None:
        """All folders, and the files that no single chunk makes."""
        leaves = [name for name, _, _ in self._manifest.files] + [name for name, _ in self._manifest.links]
        folders = {name.rpartition("/")[0] for name in leaves}
        folders.update(name for name, _ in self._manifest.folders)
        for name in sorted(folders):
            os.makedirs(f"{self._folder}/{name}", exist_ok=True)  # noqa: PTH103
        chunk_starts = sorted(offset for places in self._places.values() for offset in places)
        for index, (_, _, size) in enumerate(self._manifest.files):
            start = self._starts[index]
            first = bisect.bisect_right(chunk_starts, start)
            is_in_one = first >= len(chunk_starts) or start + size <= chunk_starts[first]
            if not size:
                os.close(self._make(index))
            elif not is_in_one:  # it is opened again for each of its chunks, which its own bits may forbid
                self._late.append(index)
                os.close(self._make(index, 0o600))

    def finish(self) -> None:
        """All chunks are written."""
        for index in self._late:
            name, mode, _ = self._manifest.files[index]
            os.chmod(f"{self._folder}/{name}", mode)  # noqa: PTH101

    def write(self, digest: str, data: memoryview) -> None:
        """Write a chunk to all places where it is. Raises StepError when it is another."""
        came = hashlib.sha256(data).hexdigest()
        if came != digest:
            raise StepError(
                f"a chunk came as {came}, and is {digest}",
                f"it was changed on its way or in its store; {NOT_UNPACKED}",
            )
        for offset in self._places[digest]:
            self._write_at(offset, data)

    def _write_at(self, offset: int, data: memoryview) -> None:
        index = bisect.bisect_right(self._starts, offset) - 1
        while data:
            start, end = self._starts[index], self._starts[index + 1]
            part, data = data[: end - offset], data[end - offset :]
            if part:
                self._write_part(index, offset - start, part)
            offset += len(part)
            index += 1

    def _write_part(self, index: int, at: int, part: memoryview) -> None:
        is_whole = at == 0 and len(part) == self._manifest.files[index][2]
        handle = self._make(index) if is_whole else self._open(index)
        try:
            while part:
                count = os.pwrite(handle, part, at)
                at, part = at + count, part[count:]
        finally:
            os.close(handle)

    def _make(self, index: int, bits: int | None = None) -> int:
        name, mode, _ = self._manifest.files[index]
        mode = mode if bits is None else bits
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(f"{self._folder}/{name}", flags, mode)
        if mode & self._mask:
            os.fchmod(handle, mode)
        return handle

    def _open(self, index: int) -> int:
        path = f"{self._folder}/{self._manifest.files[index][0]}"
        return os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
