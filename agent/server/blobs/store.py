"""What is asked of a place for bulk bytes.

A key is made by us (letters, digits, `-`, `_`, `/`), never by a stranger. Calls work in any order and from any number of
tasks. What a call has not finished is never seen: after a crash a key has its old bytes or its new ones.

On disk this is plain files today: temporary file, fsync, rename is what obstore's local store does too, less an fsync.
The calls are those that S3 has as well (a put that appears whole, ranged reads, a multipart upload), so that obstore can
stand behind the same Protocol when the issue of S3 comes.
"""

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: its length, and `sha256:<hex>`."""

    size_bytes: int
    digest: str


class BlobStore(Protocol):
    """A place for bulk bytes."""

    async def write(
        self, key: str, chunks: AsyncIterable[bytes], *, limit_bytes: int, digest: str = ""
    ) -> Written:
        """Store the bytes under `key`, replacing what was there; writing the same again is harmless.

        Raises TooLargeError above `limit_bytes`, DamagedError when their digest is not the `digest` asked for;
        nothing is stored then.
        """
        ...

    async def join(self, key: str, parts: Sequence[str], *, limit_bytes: int) -> Written:
        """Store the bytes of the keys `parts`, one after the other, under `key`. The parts stay.

        Raises NotFoundError when a part is not there, TooLargeError above `limit_bytes`.
        """
        ...

    def read(self, key: str) -> AsyncIterator[bytes]:
        """The bytes in pieces. Raises NotFoundError at the first one."""
        ...

    async def size(self, key: str) -> int | None:
        """How many bytes lie under `key`; None when nothing does."""
        ...

    async def remove(self, prefix: str) -> None:
        """Remove the key `prefix` and all that begin with `prefix/`; done as well when there are none."""
        ...
