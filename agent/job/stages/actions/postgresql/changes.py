"""A stream of messages as records, a position a commit. Pure.

A record: `{operation, schema, table, key, record, old, unchanged, lsn, committed}`. What a transaction changed is handed on as
it comes, under the position of the commit before it; only its last record has its own. So it is settled whole, or comes again whole.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agent.job.stages.actions.connecting.handing import MOST_RECORDS, Come
from agent.job.stages.actions.postgresql.messages import (
    AbsentCell,
    Begin,
    CommitMessage,
    Message,
    Relation,
    RowChange,
    Truncate,
    Tuple,
    format_lsn,
)
from agent.job.stages.actions.postgresql.values import read_value
from agent.job.stages.stage import StageError, StreamPosition, Value


@dataclass
class RowChanges:
    """What was said so far. `is_wanted` is asked with operation, schema and table."""

    is_wanted: Callable[[str, str, str], bool]
    most_bytes: int
    at: int  # the end of the last commit that was handed on, or read and had nothing for us
    keys: Mapping[tuple[str, str], Sequence[str]] = field(
        default_factory=dict
    )  # primary keys, where the identity is full
    _relations: dict[int, Relation] = field(default_factory=dict)
    _begin: Begin | None = None
    _waiting: list[tuple[Value, StageError | None]] = field(default_factory=list)

    @property
    def is_between(self) -> bool:
        """Whether no transaction is half read."""
        return self._begin is None

    def read(self, message: Message) -> list[Come]:
        """What is to be handed on now."""
        match message:
            case Begin():
                self._begin = message
            case Relation():
                self._relations[message.oid] = message
            case RowChange():
                self._change(message)
            case Truncate():
                self._truncate(message)
            case CommitMessage():
                return self._commit(message)
        return self._overflow()

    def _change(self, change: RowChange) -> None:
        relation = self._relations[change.relation]
        if not self.is_wanted(change.operation, relation.schema, relation.name):
            return
        old = None if change.old is None else _read_row(relation, change.old, is_full=change.is_full)
        new: dict[str, Value] | None = None
        unchanged: list[str] = []
        if change.new is not None:
            new, unchanged = _fill(relation, change.new, old if change.is_full else None)
        key = self._key(relation, {**(old or {}), **(new or {})} if new is not None else old)
        record = self._record(change.operation, relation, key, new, old, unchanged)
        error = None
        if change.size > self.most_bytes:
            error = StageError(
                f"the change has {change.size:,} bytes: more than {self.most_bytes:,} (most_bytes)",
                is_final=True,
            )
            record = {**record, "record": None, "old": None, "bytes": change.size}
        self._waiting.append((record, error))

    def _truncate(self, message: Truncate) -> None:
        for oid in message.relations:
            relation = self._relations[oid]
            if self.is_wanted("truncate", relation.schema, relation.name):
                self._waiting.append((self._record("truncate", relation, None, None, None, []), None))

    def _commit(self, message: CommitMessage) -> list[Come]:
        before, self.at = self.at, message.end_lsn
        waiting, self._waiting, self._begin = self._waiting, [], None
        positions = [before] * (len(waiting) - 1) + [message.end_lsn]
        return [
            Come(value, StreamPosition("", at), error)
            for (value, error), at in zip(waiting, positions, strict=False)
        ]

    def _overflow(self) -> list[Come]:
        """A batch of a large transaction; its last record stays, for the commit's position."""
        if len(self._waiting) <= MOST_RECORDS:
            return []
        ready, self._waiting = self._waiting[:MOST_RECORDS], self._waiting[MOST_RECORDS:]
        return [Come(value, StreamPosition("", self.at), error) for value, error in ready]

    def _record(
        self, operation: str, relation: Relation, key: Value, new: Value, old: Value, unchanged: list[str]
    ) -> dict[str, Value]:
        begin = self._begin
        assert begin is not None, "a change outside a transaction"
        return {
            "operation": operation,
            "schema": relation.schema,
            "table": relation.name,
            "key": key,
            "record": new,
            "old": old,
            "unchanged": unchanged,
            "lsn": format_lsn(begin.commit_lsn),
            "committed": begin.committed.isoformat(),
        }

    def _key(self, relation: Relation, row: Mapping[str, Value] | None) -> Value:
        """The columns that tell which row it is; None: the table has none that do."""
        names: Sequence[str] = [column.name for column in relation.columns if column.is_identity]
        if relation.identity == "f":
            names = self.keys.get((relation.schema, relation.name), ())
        if not names or row is None:
            return None
        return {name: row[name] for name in names if name in row}


def _read_row(relation: Relation, cells: Tuple, *, is_full: bool) -> dict[str, Value]:
    """A row, or the identity of one: its other columns come as null, and are none."""
    return {
        column.name: _read_cell(cell, column.type_oid)
        for column, cell in zip(relation.columns, cells, strict=True)
        if cell is not AbsentCell.UNCHANGED and (is_full or column.is_identity)
    }


def _fill(
    relation: Relation, cells: Tuple, old: Mapping[str, Value] | None
) -> tuple[dict[str, Value], list[str]]:
    """A new row, and the columns that are as before and were not sent. They are taken from the old row, where there is one."""
    row: dict[str, Value] = {}
    unchanged = []
    for column, cell in zip(relation.columns, cells, strict=True):
        if cell is not AbsentCell.UNCHANGED:
            row[column.name] = _read_cell(cell, column.type_oid)
        elif old is not None and column.name in old:
            row[column.name] = old[column.name]
        else:
            unchanged.append(column.name)
    return row, unchanged


def _read_cell(cell: str | AbsentCell, type_oid: int) -> Value:
    return None if isinstance(cell, AbsentCell) else read_value(cell, type_oid)
