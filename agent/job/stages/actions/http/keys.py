"""Keys by which a receiver knows a record again that it got twice: the header Idempotency-Key.

A record that failed comes again as the same value, which nobody may change or copy: its key is remembered until it has ended. What is
sent again after the job's end, because nobody had said that it arrived, has another key.
Source: draft-ietf-httpapi-idempotency-key-header.
"""

import uuid
from typing import Final

from agent.job.stages.stage import Value

_MOST: Final = 10_000


class Keys:
    """The keys of the records that failed, and come again."""

    def __init__(self) -> None:
        self._kept: dict[
            int, tuple[Value, str]
        ] = {}  # with the record: its id is nobody else's while it is here

    def key_of(self, record: Value) -> str:
        """The record's: the one that it had, or a new one."""
        known = self._kept.get(id(record))
        return known[1] if known else str(uuid.uuid4())

    def keep(self, record: Value, key: str) -> None:
        """The record has failed, and comes again."""
        self._kept[id(record)] = record, key
        if len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]

    def forget(self, record: Value) -> None:
        """The record has ended."""
        self._kept.pop(id(record), None)
