"""The blob store's protocol: what is asked of a place for bulk bytes.

A key is made by us (letters, digits, `-`, `_`, `/`), never by a stranger. Calls work in any order and from any number of
tasks. What a call has not finished is never seen: after a crash a key has its old bytes or its new ones.

`disk.py` does it with files, `bucket.py` with an S3-compatible store; tests/server/test_blobs.py asks the same of both.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

_KEY = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: its length, and `sha256:<hex>`."""

    size_bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Found:
    """What lies under a key, and when it was written (seconds since the epoch)."""

    key: str
    size_bytes: int
    written_at: float


class Check(Protocol):
    """Looks at bytes on their way in, in whatever thread has them."""

    def add(self, data: bytes, /) -> None:
        """More bytes."""
        ...

    def end(self) -> None:
        """There are no more."""
        ...


class BlobStore(Protocol):
    """A place for bulk bytes."""

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
        """Store the bytes under `key`, replacing what was there; writing the same again is harmless.

        `check` is told of the bytes in their order, and of their end, instead of hashing all of them: what it raises is raised, and nothing
        is stored.
        `headers` are what `direct_url` answers with, where there is such a thing. Raises TooLargeError above
        `limit_bytes`, DamagedError when their digest is not the `digest` asked for; nothing is stored then.
        """
        ...

    async def join(
        self, key: str, parts: Sequence[str], *, limit_bytes: int, headers: Mapping[str, str] | None = None
    ) -> Written:
        """Store the bytes of the keys `parts`, one after the other, under `key`. The parts stay.

        Raises NotFoundError when a part is not there, TooLargeError above `limit_bytes`.
        """
        ...

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, in pieces. Raises NotFoundError at the first one."""
        ...

    async def size(self, key: str) -> int | None:
        """How many bytes lie under `key`; None when nothing does."""
        ...

    def find(self, prefix: str) -> AsyncIterator[Found]:
        """All keys that begin with `prefix/`, in no order."""
        ...

    async def remove(self, prefix: str) -> None:
        """Remove the key `prefix` and all that begin with `prefix/`; done as well when there are none."""
        ...

    async def direct_url(self, key: str, seconds: float) -> str | None:
        """A URL at which anybody may GET the bytes for `seconds`, not from us; None: they come from us only."""
        ...


def check_key(key: str) -> str:
    """`key`, when it is one. Raises ValueError: a bug of ours."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a key of ours: {key!r}")
    return key
