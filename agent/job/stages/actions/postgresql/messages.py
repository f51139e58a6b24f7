"""pgoutput's messages, protocol version 1 (PostgreSQL, "Logical Replication Message Formats"). Pure: bytes in, values out."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class AbsentCell(Enum):
    """What a column may have in place of text."""

    NULL = "n"
    UNCHANGED = "u"  # a large value that was not touched, and is not sent


Tuple = tuple[str | AbsentCell, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, as it was when the change was made."""

    name: str
    type_oid: int
    is_identity: bool  # part of the replica identity


@dataclass(frozen=True, slots=True)
class Relation:
    """A table; sent before its first change, and when it was altered."""

    oid: int
    schema: str
    name: str
    identity: str  # d default (the primary key), i an index, f full, n nothing
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """A transaction, which is sent whole once it is committed."""

    commit_lsn: int
    committed: datetime


@dataclass(frozen=True, slots=True)
class CommitMessage:
    """The end of a transaction; reading goes on after `end_lsn`."""

    end_lsn: int


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row that changed. `old` has the identity's columns only, unless `is_full`."""

    operation: str  # insert, update, delete
    relation: int
    new: Tuple | None
    old: Tuple | None
    is_full: bool
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tables that were emptied, in one statement."""

    relations: tuple[int, ...]


Message = Relation | Begin | CommitMessage | RowChange | Truncate


def read_message(data: bytes) -> Message | None:
    """What a message says; None: nothing for us (types, origins, messages of others). Raises ValueError for torn ones."""
    reader = _Reader(data)
    match reader.char():
        case "B":
            lsn, micros, _ = reader.take("!qqI")
            return Begin(lsn, _EPOCH + timedelta(microseconds=micros))
        case "C":
            _, _, end, _ = reader.take("!Bqqq")
            return CommitMessage(end)
        case "R":
            return _read_relation(reader)
        case "I" | "U" | "D" as kind:
            return _read_change(kind, reader, len(data))
        case "T":
            count, _ = reader.take("!IB")
            return Truncate(tuple(reader.take("!I")[0] for _ in range(count)))
        case _:
            return None


def format_lsn(lsn: int) -> str:
    """As PostgreSQL writes it: 16/B374D848."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def parse_lsn(text: str) -> int:
    """The other way."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def _read_relation(reader: "_Reader") -> Relation:
    (oid,) = reader.take("!I")
    schema, name = reader.text() or "pg_catalog", reader.text()
    identity = reader.char()
    (count,) = reader.take("!H")
    columns = []
    for _ in range(count):
        (flags,) = reader.take("!B")
        column = reader.text()
        type_oid, _modifier = reader.take("!Ii")
        columns.append(Column(column, type_oid, bool(flags & 1)))
    return Relation(oid, schema, name, identity, tuple(columns))


def _read_change(kind: str, reader: "_Reader", size: int) -> RowChange:
    (relation,) = reader.take("!I")
    tuples = {mark: tuple(reader.cells()) for mark in reader.marks()}
    operation = {"I": "insert", "U": "update", "D": "delete"}[kind]
    return RowChange(
        operation, relation, tuples.get("N"), tuples.get("O", tuples.get("K")), "O" in tuples, size
    )


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, form: str) -> tuple[int, ...]:
        try:
            values = struct.unpack_from(form, self._data, self._at)
        except struct.error as error:
            raise ValueError(f"a torn message of {len(self._data)} bytes") from error
        self._at += struct.calcsize(form)
        return values

    def char(self) -> str:
        return chr(self.take("!B")[0])

    def text(self) -> str:
        end = self._data.index(b"\0", self._at)
        found = self._data[self._at : end].decode()
        self._at = end + 1
        return found

    def marks(self) -> Iterator[str]:
        while self._at < len(self._data):
            yield self.char()

    def cells(self) -> Iterator[str | AbsentCell]:
        (count,) = self.take("!H")
        for _ in range(count):
            kind = self.char()
            if kind != "t":
                yield AbsentCell(kind)
                continue
            (length,) = self.take("!I")
            yield self._data[self._at : self._at + length].decode()
            self._at += length
