"""Bulk bytes in an S3-compatible bucket, through obstore: uploads in parts, ranged reads, signed URLs.

No more than a few parts of an upload are in memory at a time, however large it is. S3 shows an object when it is whole.
"""

import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import obstore
from obstore.exceptions import BaseError

from agent.errors import DamagedError, NotFoundError, UnreachableError
from agent.server.data.blobs.store import Check, Found, Written, check_key
from agent.server.process.problems import TooLargeError

_PART_BYTES = 8 << 20  # S3 takes at most 10,000 parts: 78 GiB
_PARTS_AT_ONCE = 2
_LONGEST_URL_SECONDS = 7 * 24 * 3600.0  # S3 signs for no longer


class BucketBlobStore:
    """The blobs below one prefix of a bucket. `signs` says whether clients may be sent there."""

    def __init__(self, store: Any, *, signs: bool) -> None:
        self._store = store
        self._signs = signs

    async def write(
        self,
        key: str,
        chunks: AsyncIterable[bytes],
        *,
        limit_bytes: int,
        digest: str = "",
        headers: Mapping[str, str] | None = None,
        check: Check | None = None,
    ) -> Written:
        """See `BlobStore.write`."""
        checked = _Checked(chunks, limit_bytes, digest, check)
        await self._put(check_key(key), checked.parts(), headers)
        return checked.written()

    async def join(
        self, key: str, parts: Sequence[str], *, limit_bytes: int, headers: Mapping[str, str] | None = None
    ) -> Written:
        """See `BlobStore.join`. The bytes go through us: their digest is not known otherwise."""
        return await self.write(key, self._read_all(parts), limit_bytes=limit_bytes, headers=headers)

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See `BlobStore.read`."""
        if end is not None and end <= start:
            return
        span: object = {"offset": start} if end is None else (start, end)
        whole = start == 0 and end is None
        with _told():
            options: Any = {} if whole else {"range": span}
            found = await obstore.get_async(self._store, check_key(key), options=options)
            async for chunk in found.stream():
                yield bytes(chunk)

    async def size(self, key: str) -> int | None:
        """See `BlobStore.size`."""
        try:
            with _told():
                return int((await obstore.head_async(self._store, check_key(key)))["size"])
        except NotFoundError:
            return None

    async def find(self, prefix: str) -> AsyncIterator[Found]:
        """See `BlobStore.find`."""
        with _told():
            async for batch in obstore.list(self._store, check_key(prefix)):
                for entry in batch:
                    yield Found(entry["path"], entry["size"], entry["last_modified"].timestamp())

    async def remove(self, prefix: str) -> None:
        """See `BlobStore.remove`."""
        with _told():
            async for batch in obstore.list(self._store, check_key(prefix)):
                await obstore.delete_async(self._store, [entry["path"] for entry in batch])
            await obstore.delete_async(self._store, prefix)

    async def direct_url(self, key: str, seconds: float) -> str | None:
        """See `BlobStore.direct_url`."""
        if not self._signs:
            return None
        lifetime = timedelta(seconds=min(seconds, _LONGEST_URL_SECONDS))
        return str(await obstore.sign_async(self._store, "GET", check_key(key), lifetime))

    async def _put(self, key: str, parts: AsyncIterator[bytes], headers: Mapping[str, str] | None) -> None:
        """A blob of one part goes up in one request, a larger one in parts that S3 joins at the end."""
        first = await anext(parts, b"")
        attributes = dict(headers or {})
        with _told():
            if len(first) < _PART_BYTES:
                await obstore.put_async(self._store, key, first, attributes=attributes, use_multipart=False)
            else:
                await obstore.put_async(
                    self._store,
                    key,
                    _chain(first, parts),
                    attributes=attributes,
                    chunk_size=_PART_BYTES,
                    max_concurrency=_PARTS_AT_ONCE,
                )

    async def _read_all(self, keys: Sequence[str]) -> AsyncIterator[bytes]:
        for key in keys:
            async for chunk in self.read(key):
                yield chunk


class _Checked:
    """Bytes on their way to S3, counted and hashed; what is wrong with them is raised before their last part is out."""

    def __init__(
        self, chunks: AsyncIterable[bytes], limit_bytes: int, digest: str, check: Check | None
    ) -> None:
        self._check = check
        self._chunks = chunks
        self._limit_bytes = limit_bytes
        self._digest = digest
        self._size_bytes = 0
        self._hash = hashlib.sha256()

    async def parts(self) -> AsyncIterator[bytes]:
        """The bytes in parts of `_PART_BYTES`; the last one is smaller."""
        part = bytearray()
        async for chunk in self._chunks:
            self._size_bytes += len(chunk)
            if self._size_bytes > self._limit_bytes:
                raise TooLargeError(f"more than the {self._limit_bytes} bytes that are allowed")
            if self._check is None:
                self._hash.update(chunk)
            else:
                self._check.add(chunk)
            part += chunk
            while len(part) >= _PART_BYTES:
                yield bytes(memoryview(part)[:_PART_BYTES])
                del part[:_PART_BYTES]
        if self._check is not None:
            self._check.end()
        written = self.written()
        if self._digest and self._digest != written.digest:
            raise DamagedError(f"the bytes that came have the digest {written.digest}", where=self._digest)
        if part:
            yield bytes(part)

    def written(self) -> Written:
        """What has gone through."""
        return Written(self._size_bytes, f"sha256:{self._hash.hexdigest()}" if self._check is None else "")


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part


@contextmanager
def _told() -> Iterator[None]:
    """What obstore raises as an error of ours; its texts hold addresses and requests, so only their first line is shown."""
    try:
        yield
    except (FileNotFoundError, BaseError) as error:
        if isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error):
            raise NotFoundError("there are no such bytes here") from None
        raise UnreachableError(
            f"the bucket does not do what it is asked: {str(error).splitlines()[0][:200]}",
            hint="look at --blobs-url and the bucket's credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)",
        ) from error
