"""A publication and a slot, made if they are missing: the publication first, since a slot reads only with those that were there before it.

A slot is made once. One that is gone or lost its log is never made anew unasked: what was changed in between would be missing
without a word.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.errors import AgentError
from agent.job.stages.actions.connecting.marks import draw_name
from agent.job.stages.actions.postgresql.database import SourceDatabase, Table
from agent.job.stages.actions.postgresql.messages import format_lsn, parse_lsn
from agent.job.stages.stage import StageContext

OPERATIONS = ("insert", "update", "delete", "truncate")
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class CaptureSettings:
    """What the flow's text asks for; empty names: ours."""

    tables: tuple[Table, ...]
    operations: tuple[str, ...]
    publication: str
    slot: str
    most_lag: int

    @classmethod
    def of(cls, config: Mapping[str, object]) -> "CaptureSettings":
        """Of a stage's config."""
        listed = config.get("tables") or ()
        tables = [listed] if isinstance(listed, str) else listed
        assert isinstance(tables, Sequence)
        operations = config.get("operations") or OPERATIONS
        assert isinstance(operations, Sequence)
        return cls(
            tuple(_split(str(one)) for one in tables),
            (operations,) if isinstance(operations, str) else tuple(str(one) for one in operations),
            str(config.get("publication") or ""),
            str(config.get("slot") or ""),
            int(str(config.get("most_lag") or _GIB)),
        )

    def is_wanted(self, operation: str, schema: str, table: str) -> bool:
        """Whether such a change is a record."""
        return operation in self.operations and (not self.tables or (schema, table) in self.tables)


def make_mark(context: StageContext, wanted: CaptureSettings, before: object) -> dict[str, object]:
    """What the bookmark says of it: the names are drawn once. `made` once the slot was; `lsn`: settled up to there."""
    drawn = draw_name(context.name)
    known: Mapping[str, object] = before if isinstance(before, Mapping) else {}
    slot = wanted.slot or (str(known["slot"]) if known.get("is_ours") else drawn)
    publication = wanted.publication or str(known.get("own_publication") or drawn)
    mark: dict[str, object] = {
        "slot": slot,
        "is_ours": not wanted.slot,
        "publication": publication,
        "own_publication": "" if wanted.publication else publication,
    }
    if known.get("slot") == slot:
        return {**known, **mark}
    if known.get("lsn"):
        context.warn(
            f"the slot is '{slot}' from now on, in place of '{known['slot']}': what was committed after {known['lsn']} and before "
            f"'{slot}' was made is not brought; drop '{known['slot']}' (pg_drop_replication_slot), or the server keeps its log for it"
        )
    return mark


async def check_server(context: StageContext, database: SourceDatabase) -> str:
    """The number of the server's system. Raises AgentError where it can't replicate; gives advice once."""
    system = await database.read_system()
    if system.wal_level != "logical":
        raise AgentError(
            f"PostgreSQL writes its log with wal_level={system.wal_level}, which holds no rows",
            hint="ALTER SYSTEM SET wal_level = 'logical', and restart it",
        )
    if system.most_kept == "-1":
        context.say(
            "the server keeps its log for a slot without end (max_slot_wal_keep_size = -1): set it to what its disk can bear"
        )
    return f"{system.number}/{system.database}"


async def prepare_publication(
    database: SourceDatabase, wanted: CaptureSettings, name: str, *, has_slot: bool
) -> None:
    """There is a publication with the tables. Raises AgentError."""
    if missing := await database.find_missing(wanted.tables):
        raise AgentError(
            f"there is no table {', '.join(missing)}", hint="write it as SCHEMA.TABLE, without quotes"
        )
    found = await database.read_publication(name)
    if found is not None and wanted.publication:
        if lacking := sorted(set(wanted.tables) - found.tables):
            raise AgentError(
                f"the publication '{name}' does not have {', '.join('.'.join(one) for one in lacking)}",
                hint=f"ALTER PUBLICATION {name} ADD TABLE ..., or leave `publication` out",
            )
        return
    if found is not None and (not wanted.tables or found.tables == set(wanted.tables)):
        return
    await _refuse_nameless(database, wanted)
    if found is not None:
        await database.set_tables(name, wanted.tables)
        return
    if has_slot:
        raise AgentError(
            f"the publication '{name}' is missing, and the slot was made before it would be: it could not be read with it",
            hint="drop the slot (pg_drop_replication_slot) and name another `slot`; what was not brought is lost to this flow",
        )
    await database.make_publication(name, wanted.tables, wanted.operations)


async def prepare_slot(context: StageContext, database: SourceDatabase, mark: Mapping[str, object]) -> None:
    """The slot is there, or it was never made: then it is, now. Raises AgentError for one that is gone or useless."""
    name = str(mark["slot"])
    found = await database.read_slot(name)
    after = (
        f"what was committed after {mark.get('lsn') or 'it was made'} and not brought is lost to this flow"
    )
    advice = f"name another `slot` (it begins with what is committed then), and fetch that of {name} in another way"
    if found is None and mark.get("made"):
        raise AgentError(f"the slot '{name}' is gone: {after}", hint=advice)
    if found is None:
        await database.make_slot(name)
        context.say(f"made the slot '{name}': what is committed from now on is brought")
        return
    if found.status == "lost":
        raise AgentError(
            f"the slot '{name}' lost its log (max_slot_wal_keep_size): {after}",
            hint=f"drop it (pg_drop_replication_slot), then {advice}",
        )
    if found.plugin != "pgoutput":
        raise AgentError(
            f"the slot '{name}' is for '{found.plugin}', not for pgoutput", hint="name another `slot`"
        )


async def find_begin(
    context: StageContext, database: SourceDatabase, mark: Mapping[str, object], system: str
) -> int:
    """Where reading begins: what the bookmark says, which a crash of the server does not set back; 0: what the slot says."""
    lsn = parse_lsn(str(mark.get("lsn") or "0/0"))
    if mark.get("system") not in {None, system} or lsn > parse_lsn((await database.read_system()).lsn):
        context.warn(
            f"this is not the server (or not its whole log) that was read until now, to {format_lsn(lsn)}: reading goes on from where "
            f"its slot '{mark['slot']}' stands"
        )
        return 0
    return lsn


async def _refuse_nameless(database: SourceDatabase, wanted: CaptureSettings) -> None:
    if not {"update", "delete"} & set(wanted.operations):
        return
    if nameless := await database.find_nameless(wanted.tables):
        raise AgentError(
            f"rows of {', '.join(nameless[:5])} can't be told apart: once published, every UPDATE and DELETE of them would fail, for all",
            hint="give each a primary key or REPLICA IDENTITY FULL, name other `tables`, or leave update and delete out of `operations`",
        )


def _split(name: str) -> Table:
    schema, dot, table = name.rpartition(".")
    return (schema if dot else "public"), table
