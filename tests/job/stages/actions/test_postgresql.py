"""Change data capture from a real PostgreSQL: every committed change once it is there, and again only what was not settled."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.postgres import Cluster, run_cluster
from support.streams import Collecting, FileBookmarks, driver, make_context, running

from agent.errors import AgentError
from agent.job.stages.actions.connecting.holding import Pace
from agent.job.stages.actions.postgresql.trigger import PostgresqlTrigger

QUICK = Pace(lease=3, keep=0.5, checkpoint=0.1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with run_cluster("wal_level=logical max_replication_slots=100 max_wal_senders=100") as found:
        yield found


class Source:
    """A database of its own, with a table."""

    def __init__(self, cluster: Cluster, *statements: str) -> None:
        self.cluster = cluster
        self.url = cluster.make_database()
        self.name = self.url.partition("@/")[2].partition("?")[0]
        self.run("CREATE TABLE t (id int PRIMARY KEY, v text)", *statements)

    def run(self, *statements: str) -> str:
        """Each in a transaction of its own."""
        return "\n".join(self.cluster.execute(one, self.name) for one in statements)

    def config(self, **more: object) -> dict[str, Any]:
        return {"url": self.url, "tables": ["t"], **more}


def mark(folder: Path) -> dict[str, Any]:
    return FileBookmarks(folder).value("postgresql/in") or {}


async def until_reading(folder: Path) -> None:
    """The slot is made."""
    while not mark(folder).get("made"):
        await asyncio.sleep(0.02)


def short(record: dict[str, Any]) -> tuple[Any, ...]:
    return record["operation"], record["key"], record["record"], record["old"]


async def test_changes_come_as_records_in_the_order_of_their_commits(
    cluster: Cluster, tmp_path: Path
) -> None:
    source, intake = Source(cluster, "CREATE TABLE other (id int PRIMARY KEY)"), Collecting()
    async with running(PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK), intake):
        await until_reading(tmp_path)
        source.run(
            "INSERT INTO t VALUES (1, 'a'), (2, NULL)",
            "INSERT INTO other VALUES (1)",
            "UPDATE t SET v = 'b' WHERE id = 1",
            "UPDATE t SET id = 3 WHERE id = 2",
            "DELETE FROM t WHERE id = 1",
            "TRUNCATE t",
        )
        await intake.until(lambda it: len(it.values) == 6)
    assert [short(one) for one in intake.values] == [
        ("insert", {"id": 1}, {"id": 1, "v": "a"}, None),
        ("insert", {"id": 2}, {"id": 2, "v": None}, None),
        ("update", {"id": 1}, {"id": 1, "v": "b"}, None),
        ("update", {"id": 3}, {"id": 3, "v": None}, {"id": 2}),
        ("delete", {"id": 1}, None, {"id": 1}),
        ("truncate", None, None, None),
    ]
    assert {(one["schema"], one["table"]) for one in intake.values} == {("public", "t")}
    assert intake.values[0]["lsn"] == intake.values[1]["lsn"] < intake.values[2]["lsn"]
    assert intake.values[0]["committed"].endswith("+00:00")
    assert len({position.at for _, position in intake.batches}) == 5  # one a commit


async def test_large_values_that_were_not_touched_are_named_and_never_null(
    cluster: Cluster, tmp_path: Path
) -> None:
    source, intake = (
        Source(cluster, "ALTER TABLE t ADD big text", "ALTER TABLE t ALTER big SET STORAGE EXTERNAL"),
        Collecting(),
    )
    async with running(PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK), intake):
        await until_reading(tmp_path)
        source.run("INSERT INTO t VALUES (1, 'a', repeat('x', 10000))", "UPDATE t SET v = 'b'")
        source.run("ALTER TABLE t REPLICA IDENTITY FULL", "UPDATE t SET v = 'c'")
        await intake.until(lambda it: len(it.values) == 3)
    _, bare, full = intake.values
    assert bare["unchanged"] == ["big"]
    assert bare["record"] == {"id": 1, "v": "b"}
    assert full["unchanged"] == []
    assert full["record"] == {"id": 1, "v": "c", "big": "x" * 10000}
    assert full["old"] == {"id": 1, "v": "b", "big": "x" * 10000}
    assert full["key"] == {"id": 1}


async def test_values_are_json(cluster: Cluster, tmp_path: Path) -> None:
    columns = {
        "b bool": ("true", True),
        "i bigint": ("9007199254740993", 9007199254740993),
        "f float8": ("0.1", 0.1),
        "nan float8": ("'NaN'", "NaN"),
        "n numeric": ("12345678901234567890.10", "12345678901234567890.10"),
        "j jsonb": ("'{\"a\": [1, null]}'", {"a": [1, None]}),
        "huge jsonb": ("'1e400'", "1" + "0" * 400),
        "d timestamptz": ("'2026-01-02 03:04:05+01'", "2026-01-02 02:04:05+00"),
        "forever date": ("'infinity'", "infinity"),
        "y bytea": ("'\\x00ff'", "\\x00ff"),
        "a int[]": ("'{{1,NULL},{3,4}}'", [[1, None], [3, 4]]),
        "s text[]": ("ARRAY['a,b', 'c\"d\\e', '', 'NULL', NULL]", ["a,b", 'c"d\\e', "", "NULL", None]),
        "e text[]": ("'{}'", []),
        "o int[]": ("'[0:1]={1,2}'", [1, 2]),
        "js jsonb[]": ('ARRAY[\'{"k": "}"}\'::jsonb]', [{"k": "}"}]),
    }
    table = f"CREATE TABLE all_types (id int PRIMARY KEY, {', '.join(columns)})"
    source, intake = Source(cluster, table), Collecting()
    config = source.config(tables="all_types")
    async with running(PostgresqlTrigger(make_context(tmp_path, "in", config), QUICK), intake):
        await until_reading(tmp_path)
        source.run(f"INSERT INTO all_types VALUES (1, {', '.join(text for text, _ in columns.values())})")
        await intake.until(lambda it: it.values)
    expected = {name.split()[0]: value for name, (_, value) in columns.items()}
    huge = intake.values[0]["record"].pop("huge")
    assert str(huge) == expected.pop("huge")
    assert intake.values[0]["record"] == {"id": 1, **expected}


async def test_a_table_that_is_altered_midway_has_its_columns_of_each_time(
    cluster: Cluster, tmp_path: Path
) -> None:
    source, intake = Source(cluster), Collecting()
    async with running(PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK), intake):
        await until_reading(tmp_path)
        source.run(
            "INSERT INTO t VALUES (1, 'a')",
            "ALTER TABLE t ADD n int DEFAULT 7",
            "INSERT INTO t VALUES (2, 'b')",
        )
        source.run("ALTER TABLE t DROP v", "ALTER TABLE t RENAME n TO m", "INSERT INTO t VALUES (3, 8)")
        await intake.until(lambda it: len(it.values) == 3)
    assert [one["record"] for one in intake.values] == [
        {"id": 1, "v": "a"},
        {"id": 2, "v": "b", "n": 7},
        {"id": 3, "m": 8},
    ]


async def test_a_row_that_moves_between_partitions_is_deleted_and_inserted_in_its_table(
    cluster: Cluster, tmp_path: Path
) -> None:
    parts = [f"CREATE TABLE p{n} PARTITION OF p FOR VALUES IN ({n})" for n in (1, 2)]
    source = Source(
        cluster, "CREATE TABLE p (id int, part int, PRIMARY KEY (id, part)) PARTITION BY LIST (part)", *parts
    )
    intake = Collecting()
    async with running(
        PostgresqlTrigger(make_context(tmp_path, "in", source.config(tables=["public.p"])), QUICK), intake
    ):
        await until_reading(tmp_path)
        source.run("INSERT INTO p VALUES (1, 1)", "UPDATE p SET part = 2", "TRUNCATE p")
        await intake.until(lambda it: len(it.values) >= 3 and it.values[-1]["operation"] == "truncate")
    assert {one["table"] for one in intake.values} == {"p"}
    # Also through the root: the log has no more than a delete and an insert.
    assert [one["operation"] for one in intake.values] == ["insert", "delete", "insert", "truncate"]


async def test_one_truncate_of_several_tables_is_a_record_for_each(cluster: Cluster, tmp_path: Path) -> None:
    source, intake = Source(cluster, "CREATE TABLE u (id int PRIMARY KEY)"), Collecting()
    async with running(
        PostgresqlTrigger(make_context(tmp_path, "in", source.config(tables=["t", "u"])), QUICK), intake
    ):
        await until_reading(tmp_path)
        source.run("TRUNCATE t, u")
        await intake.until(lambda it: len(it.values) == 2)
    assert sorted(one["table"] for one in intake.values) == ["t", "u"]


async def test_a_large_transaction_comes_in_batches_and_is_settled_whole(
    cluster: Cluster, tmp_path: Path
) -> None:
    source, intake = Source(cluster), Collecting()
    trigger = PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK)
    async with running(trigger, intake):
        await until_reading(tmp_path)
        source.run("INSERT INTO t SELECT n, 'x' FROM generate_series(1, 2500) n")
        await intake.until(lambda it: len(it.values) == 2500)
        assert [one["key"]["id"] for one in intake.values] == list(range(1, 2501))
        *first, last = [position for _, position in intake.batches]
        assert all(int(str(one.at)) < int(str(last.at)) for one in first)
        await trigger.settle(first[-1])
    again = Collecting()
    async with running(PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK), again):
        await again.until(lambda it: len(it.values) == 2500)


async def test_operations_and_tables_that_were_not_asked_for_are_no_records(
    cluster: Cluster, tmp_path: Path
) -> None:
    source, intake = Source(cluster, "CREATE PUBLICATION mine FOR ALL TABLES"), Collecting()
    config = source.config(publication="mine", slot=f"slot_{source.name}", operations=["delete"])
    async with running(PostgresqlTrigger(make_context(tmp_path, "in", config), QUICK), intake):
        await until_reading(tmp_path)
        source.run("INSERT INTO t VALUES (1, 'a')", "DELETE FROM t")
        await intake.until(lambda it: it.values)
        # What is not for us is passed: the slot does not keep the log for it.
        source.run("INSERT INTO t SELECT n FROM generate_series(1, 1000) n")
        lsn = source.run("SELECT pg_current_wal_lsn()")
        while not mark(tmp_path).get("lsn"):
            await asyncio.sleep(0.05)
    assert [one["operation"] for one in intake.values] == ["delete"]
    assert lsn
    source.run(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()"
    )


async def test_only_what_settled_is_told_to_the_server_and_does_not_come_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    source, intake = Source(cluster), Collecting()
    trigger = PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK)
    ask = "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE database = current_database()"
    async with running(trigger, intake):
        await until_reading(tmp_path)
        source.run("INSERT INTO t VALUES (1, 'a')", "INSERT INTO t VALUES (2, 'b')")
        await intake.until(lambda it: len(it.values) == 2)
        before = source.run(ask)
        await trigger.settle(intake.batches[0][1])
        while source.run(ask) == before:
            await asyncio.sleep(0.05)
    again = Collecting()
    async with running(PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK), again):
        await again.until(lambda it: it.values)
    assert [one["key"]["id"] for one in again.values] == [2]


async def test_a_server_that_is_killed_is_waited_for_and_nothing_settled_comes_again(
    cluster: Cluster, tmp_path: Path
) -> None:
    source, intake, said = Source(cluster), Collecting(), []
    trigger = PostgresqlTrigger(make_context(tmp_path, "in", source.config(), said), QUICK)
    async with running(trigger, intake):
        await until_reading(tmp_path)
        source.run("INSERT INTO t VALUES (1, 'a')")
        await intake.until(lambda it: it.values)
        await trigger.settle(intake.batches[0][1])
        source.run("INSERT INTO t VALUES (2, 'b')")
        await intake.until(lambda it: len(it.values) == 2)
        await asyncio.to_thread(cluster.restart)  # as a crash is: what the slot was told is forgotten
        source.run("INSERT INTO t VALUES (3, 'c')")
        await intake.until(lambda it: len(it.values) == 3)
    assert [one["key"]["id"] for one in intake.values] == [1, 2, 3]


async def test_a_server_that_is_away_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    trigger = PostgresqlTrigger(
        make_context(tmp_path, "in", {"url": "postgresql://u:secret@127.0.0.1:1/d"}, said), QUICK
    )
    async with running(trigger, Collecting()):
        while not said:
            await asyncio.sleep(0.05)
    assert said[0].startswith("PostgreSQL: ")
    assert "secret" not in said[0]


def test_a_killed_consumer_brings_again_only_what_was_not_settled(cluster: Cluster, tmp_path: Path) -> None:
    source = Source(cluster)
    with driver("postgresql", source.config(), tmp_path, "5") as first:
        while not mark(tmp_path).get("made"):
            pass
        for number in range(8):
            source.run(f"INSERT INTO t VALUES ({number}, 'a')")
        first.read_until(lambda it: len(it.got) == 8)
        while not mark(tmp_path).get("lsn"):
            pass
        first.kill()
    marks = FileBookmarks(tmp_path)
    settled = [one["key"]["id"] for one in first.settled]
    assert settled == list(range(5))
    marks._db.execute("UPDATE b SET until = 0")
    with driver("postgresql", source.config(), tmp_path, "0") as second:
        source.run("INSERT INTO t VALUES (8, 'a')")
        second.read_until(lambda it: any(one["key"]["id"] == 8 for one in it.got))
    begin = second.got[0]["key"]["id"]
    assert begin <= 5
    assert [one["key"]["id"] for one in second.got] == list(range(begin, 9))


async def test_a_slot_that_was_dropped_is_told_and_never_made_anew(cluster: Cluster, tmp_path: Path) -> None:
    source = Source(cluster)
    async with running(PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK), Collecting()):
        await until_reading(tmp_path)
    drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database() AND NOT active"
    while "jumpwire" in source.run(
        "SELECT slot_name FROM pg_replication_slots WHERE database = current_database()"
    ):
        source.run(drop)
    trigger = PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK)
    for _ in range(2):
        with pytest.raises(AgentError, match="is gone: what was committed after") as caught:
            await trigger.run(Collecting())
        assert "name another `slot`" in caught.value.hint
    await trigger.close()
    # As it says: another slot goes on, and says what is missing.
    said: list[str] = []
    intake = Collecting()
    config = source.config(slot=f"second_{source.name}")
    async with running(PostgresqlTrigger(make_context(tmp_path, "in", config, said), QUICK), intake):
        while mark(tmp_path).get("slot") != config["slot"] or not mark(tmp_path).get("made"):
            await asyncio.sleep(0.02)
        source.run("INSERT INTO t VALUES (1, 'a')")
        await intake.until(lambda it: it.values)


async def test_a_slot_that_lost_its_log_is_told(tmp_path: Path) -> None:
    settings = "wal_level=logical max_slot_wal_keep_size=1MB max_wal_size=32MB min_wal_size=32MB"
    with run_cluster(settings) as cluster:
        source = Source(cluster)
        async with running(
            PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK), Collecting()
        ):
            await until_reading(tmp_path)
        while "lost" not in source.run("SELECT wal_status FROM pg_replication_slots"):
            source.run(
                "CREATE TABLE fill AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)",
                "DROP TABLE fill",
            )
            source.run("SELECT pg_switch_wal()", "CHECKPOINT")
        trigger = PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK)
        with pytest.raises(AgentError, match="lost its log"):
            await trigger.run(Collecting())
        await trigger.close()


async def test_log_that_is_kept_beyond_the_bound_is_told(cluster: Cluster, tmp_path: Path) -> None:
    source, said, intake = Source(cluster), [], Collecting()
    intake.room.clear()
    async with running(
        PostgresqlTrigger(make_context(tmp_path, "in", source.config(most_lag=1), said), QUICK), intake
    ):
        while not any("of log for the slot" in line for line in said):
            await asyncio.sleep(0.05)
    assert any("max_slot_wal_keep_size = -1" in line for line in said)


async def test_tables_whose_rows_cannot_be_told_apart_are_not_published(
    cluster: Cluster, tmp_path: Path
) -> None:
    source = Source(cluster, "CREATE TABLE bare (v text)", "INSERT INTO bare VALUES ('a')")
    trigger = PostgresqlTrigger(make_context(tmp_path, "in", source.config(tables=["bare"])), QUICK)
    with pytest.raises(AgentError, match=r"rows of public\.bare can't be told apart"):
        await trigger.run(Collecting())
    await trigger.close()
    source.run("UPDATE bare SET v = 'b'")  # the application is not harmed
    only = source.config(tables=["bare"], operations=["insert"])
    intake = Collecting()
    (tmp_path / "2").mkdir()
    async with running(PostgresqlTrigger(make_context(tmp_path / "2", "in", only), QUICK), intake):
        await until_reading(tmp_path / "2")
        source.run("UPDATE bare SET v = 'c'", "INSERT INTO bare VALUES ('d')")
        await intake.until(lambda it: it.values)
    assert short(intake.values[0]) == ("insert", None, {"v": "d"}, None)


async def test_a_second_copy_waits_until_the_first_is_gone(cluster: Cluster, tmp_path: Path) -> None:
    source, said = Source(cluster), []
    intakes = [Collecting(), Collecting()]
    async with running(PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK), intakes[0]):
        await until_reading(tmp_path)
        second = PostgresqlTrigger(make_context(tmp_path, "in", source.config(), said), QUICK)
        task = asyncio.create_task(second.run(intakes[1]))
        while not said:
            await asyncio.sleep(0.05)
        source.run("INSERT INTO t VALUES (1, 'a')")
        await intakes[0].until(lambda it: it.values)
    await intakes[1].until(lambda it: it.values)
    assert "another copy of this flow" in said[0]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await second.close()


async def test_a_copy_whose_bookmark_is_anothers_lets_the_slot_go(cluster: Cluster, tmp_path: Path) -> None:
    source = Source(cluster)
    trigger = PostgresqlTrigger(make_context(tmp_path, "in", source.config()), QUICK)
    task = asyncio.create_task(trigger.run(Collecting()))
    active = "SELECT active FROM pg_replication_slots WHERE database = current_database()"
    while source.run(active) != "t":
        await asyncio.sleep(0.05)
    FileBookmarks(tmp_path)._db.execute("UPDATE b SET fence = fence + 1")  # as another's take does
    with pytest.raises(AgentError, match="another copy of this flow"):
        await task
    while source.run(active) != "f":
        await asyncio.sleep(0.05)
    await trigger.close()


async def test_a_change_that_is_too_large_is_a_dead_letter(cluster: Cluster, tmp_path: Path) -> None:
    source, intake = Source(cluster), Collecting()
    config = source.config(most_bytes=1000)
    async with running(PostgresqlTrigger(make_context(tmp_path, "in", config), QUICK), intake):
        await until_reading(tmp_path)
        source.run("INSERT INTO t VALUES (1, repeat('x', 2000)), (2, 'a')")
        await intake.until(lambda it: it.values)
    assert intake.dead[0][0]["key"] == {"id": 1}
    assert "more than 1,000" in intake.dead[0][2].what


async def test_a_server_without_logical_log_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    with run_cluster() as cluster:
        trigger = PostgresqlTrigger(make_context(tmp_path, "in", Source(cluster).config()), QUICK)
        with pytest.raises(AgentError, match="wal_level=replica") as caught:
            await trigger.run(Collecting())
        assert "ALTER SYSTEM" in caught.value.hint
        await trigger.close()
