"""The journals that agents ship: one for each (job, lease), kept as files (`files`) or in the database (`table`).

Bytes are appended at the offset that they claim. Bytes that are there already must be the same ones; a gap and other
bytes at a known place are refused. What `sync` has counted survives a power cut; only that may be acknowledged.
"""

from collections.abc import Sequence
from typing import Protocol

from agent.journal.format import Record, decode

READ_BYTES = (1 << 20) + (64 << 10)  # one record of the largest kind is always whole in it

Key = tuple[str, int]  # (job, lease)


class Journals(Protocol):
    """Where journals are kept."""

    async def append(self, job: str, lease: int, offset: int, data: bytes) -> None:
        """Take `data`, which begins at `offset`. Repeated bytes change nothing.

        Raises DamagedError when the bytes would leave a gap or differ from those that are here, AgentError when they
        can't be stored.
        """
        ...

    async def sync(self, keys: Sequence[Key]) -> list[int]:
        """Make everything durable that was appended to these journals: how many bytes each has now.

        Raises DamagedError as `append` does, AgentError when they can't be stored; then it may be tried again.
        """
        ...

    async def read(self, job: str, lease: int, offset: int, limit_bytes: int = READ_BYTES) -> bytes:
        """The bytes from `offset` on, at most `limit_bytes`; none behind the end, or when there is no such journal."""
        ...

    async def cut_tail(self, job: str, lease: int, applied: int) -> None:
        """After a crash: cut what is torn behind `applied`, up to where records are known to be whole."""
        ...

    async def remove(self, job: str, lease: int) -> None:
        """Forget a journal; one that is not there is no error."""
        ...


async def read_records(
    journals: Journals, job: str, lease: int, offset: int, end: int | None = None
) -> list[tuple[int, Record]]:
    """The next whole records from `offset` on (up to `end`), each with its end; about a mebibyte of them.

    Raises DamagedError.
    """
    most = READ_BYTES if end is None else min(READ_BYTES, end - offset)
    return list(decode(await journals.read(job, lease, offset, most), offset=offset)) if most > 0 else []
