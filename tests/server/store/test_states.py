"""The store does what the tables of states say: from every state to every other, and no further, on both stores."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, insert, select, text, update
from support.postgres import Cluster

from agent.server.store import archives, artifacts, caches, deliveries, jobs, leases, retention, runs
from agent.server.store import schema as tables
from agent.server.store.database import Connection, Database, open_database
from agent.server.store.retention import OldDelivery
from agent.server.store.states import (
    ARCHIVES,
    DELIVERIES,
    UPLOADS,
    ArchiveState,
    DeliveryStatus,
    UploadStatus,
)
from agent.spec.outcome import Conclusion, JobResult
from agent.spec.status import JOBS, RUNS, JobStatus, RunStatus
from agent.states import ImpossibleTransitionError, Transitions
from agent.wire.lease import LEASES, Lease, LeaseState

Move = Callable[[Connection, Any], Awaitable[object]]  # it is told the state that is left
pytestmark = pytest.mark.anyio
JOB = "job_1"
RUN = DELIVERY = UPLOAD = 1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """A database with one run, one job, and one of everything that a job may have."""
    cluster: Cluster | None = None if request.param == "sqlite" else request.getfixturevalue("postgres")
    opened = await open_database(tmp_path / "flow.db" if cluster is None else cluster.make_database())
    async with opened.write() as connection:
        await fill(connection)
    yield opened
    await opened.close()


async def fill(connection: Connection) -> None:
    run = await runs.add_run(
        connection,
        project=1,
        number=1,
        file="f.yml",
        title="f",
        text="",
        event="push",
        source="{}",
        created_at=0.0,
    )
    assert run == RUN
    await connection.execute(
        insert(tables.jobs).values(
            id=JOB, project=1, run=RUN, place=0, key="a", name="a", status=JobStatus.QUEUED, lease=1
        )
    )
    await leases.add_lease(connection, Lease(JOB, 1, "agent_1", LeaseState.OFFERED, 1.0), 0.0)
    await archives.want_archive(connection, JOB, 1, 1.0)
    named = {"job": JOB, "created_at": 0.0, "mime_type": "a/b", "expires_at": None}
    assert await artifacts.add_artifact(connection, run=RUN, name="a", **named) == UPLOAD
    cache = {"project": 1, "scope": "s", "key": "k", "version": "v"}
    assert await caches.reserve(connection, **cache, job=JOB, now=0.0) == UPLOAD
    texts = ("scope", "identifier", "replay_key", "provider", "event", "action", "subject", "payload")
    delivery = await deliveries.add_delivery(
        connection, project=1, **dict.fromkeys(texts, "x"), depth=0, now=0.0
    )
    assert delivery == DELIVERY


async def put(database: Database, table: Table, column: str, state: StrEnum) -> None:
    """Have the table's only row be in `state`, whatever may lead there."""
    async with database.write() as connection:
        values = {column: state}
        if table is tables.jobs:
            values |= {"lease": 1}
        await connection.execute(update(table).values(**values))


async def read(database: Database, table: Table, column: str) -> Any:
    async with database.read() as connection:
        return (await connection.execute(select(table.c[column]))).scalar_one()


async def try_all(
    database: Database,
    machine: Transitions[Any],
    column: Any,
    moves: Mapping[Any, Move],
) -> None:
    """Each of `moves`, by the state that it leads to, out of every state."""
    for new, move in moves.items():
        for old in machine.following:
            await put(database, column.table, column.name, old)
            try:
                async with database.write() as connection:
                    await move(connection, old)
            except ImpossibleTransitionError:
                assert not machine.may_become(old, new), f"{old} -> {new}"
            expected = new if machine.may_become(old, new) else old
            assert await read(database, column.table, column.name) is expected, f"{old} -> {new}"


async def test_a_job_becomes_what_the_table_says_and_nothing_else(database: Database) -> None:
    result = JobResult(Conclusion.SUCCESS)
    await try_all(
        database,
        JOBS,
        tables.jobs.c.status,
        {
            JobStatus.QUEUED: lambda connection, _: jobs.requeue_job(connection, JOB, 1),
            JobStatus.ASSIGNED: lambda connection, _: jobs.assign_job(connection, JOB, "agent_1", 1.0),
            JobStatus.RUNNING: lambda connection, _: jobs.start_job(connection, JOB, 1, 1.0),
            JobStatus.COMPLETED: lambda connection, _: jobs.finish_job(connection, JOB, result, 1.0),
        },
    )


async def test_a_run_becomes_what_the_table_says_and_nothing_else(database: Database) -> None:
    await try_all(
        database,
        RUNS,
        tables.runs.c.status,
        {
            RunStatus.QUEUED: lambda connection, _: runs.archive_attempt(connection, RUN, "alice"),
            RunStatus.RUNNING: lambda connection, _: runs.mark_started(connection, RUN, 1.0),
            RunStatus.COMPLETED: lambda connection, _: runs.mark_finished(connection, RUN, "success", 1.0),
        },
    )


async def test_a_lease_becomes_what_the_table_says_and_nothing_else(database: Database) -> None:
    def make(new: LeaseState) -> Move:
        lease = Lease(JOB, 1, "agent_1", new, None if new in LEASES.ends else 2.0)
        return lambda connection, _: leases.save_lease(connection, lease, 1.0)

    await try_all(database, LEASES, tables.leases.c.state, {new: make(new) for new in LeaseState})


async def test_an_archive_becomes_what_the_table_says_and_nothing_else(database: Database) -> None:
    async def find(connection: Connection) -> archives.ArchiveRow:
        row = await archives.find_archive(connection, JOB, 1)
        assert row is not None
        return row

    async def store(connection: Connection, _: ArchiveState) -> None:
        row = await find(connection)
        await archives.store(connection, row, replace(row, state=ArchiveState.STORED, blob="logs/x"))

    async def forget(connection: Connection, _: ArchiveState) -> None:
        await archives.forget(connection, await find(connection))

    def finish(new: ArchiveState) -> Move:
        async def move(connection: Connection, _: ArchiveState) -> None:
            await archives.finish(connection, await find(connection), new)

        return move

    await try_all(
        database,
        ARCHIVES,
        tables.archives.c.state,
        {
            ArchiveState.STORED: store,
            ArchiveState.DONE: finish(ArchiveState.DONE),
            ArchiveState.KEPT: finish(ArchiveState.KEPT),
            ArchiveState.GONE: forget,
        },
    )


async def test_an_archive_that_somebody_else_moved_on_stays_as_he_left_it(database: Database) -> None:
    async with database.read() as connection:
        seen = await archives.find_archive(connection, JOB, 1)
    assert seen is not None
    await put(database, tables.archives, "state", ArchiveState.DONE)
    async with database.write() as connection:
        assert not await archives.finish(connection, seen, ArchiveState.KEPT)
    assert await read(database, tables.archives, "state") is ArchiveState.DONE


@pytest.mark.parametrize("shelf", [artifacts, caches], ids=["artifact", "cache"])
async def test_an_upload_becomes_what_the_table_says_and_nothing_else(database: Database, shelf: Any) -> None:
    table = tables.artifacts if shelf is artifacts else tables.caches
    now = () if shelf is artifacts else (1.0,)
    await try_all(
        database,
        UPLOADS,
        table.c.status,
        {
            UploadStatus.UPLOADED: lambda connection, _: shelf.mark_uploaded(
                connection, UPLOAD, "blob", 1, "digest"
            ),
            UploadStatus.FINAL: lambda connection, _: shelf.mark_final(connection, UPLOAD, *now),
        },
    )


async def test_a_delivery_becomes_what_the_table_says_and_nothing_else(database: Database) -> None:
    async def find(connection: Connection, old: DeliveryStatus) -> deliveries.DeliveryRow:
        row = await deliveries.find_delivery(connection, DELIVERY)
        return row if row is not None else replace(gone, status=old)

    async with database.read() as connection:
        found = await deliveries.find_delivery(connection, DELIVERY)
    assert found is not None
    gone = found

    def settle(new: DeliveryStatus) -> Move:
        async def move(connection: Connection, old: DeliveryStatus) -> None:
            row = await find(connection, old)
            await deliveries.settle_delivery(connection, row, status=new, outcome="", results="[]", now=1.0)

        return move

    async def wake(connection: Connection, old: DeliveryStatus) -> None:
        await deliveries.wake_delivery(connection, await find(connection, old), 1.0, is_approved=False)

    memory = OldDelivery(DELIVERY, "github", "push", 1, is_memory=True)
    await try_all(
        database,
        DELIVERIES,
        tables.deliveries.c.status,
        {
            DeliveryStatus.WAITING: wake,
            DeliveryStatus.HELD: settle(DeliveryStatus.HELD),
            DeliveryStatus.DONE: settle(DeliveryStatus.DONE),
            DeliveryStatus.FAILED: settle(DeliveryStatus.FAILED),
            DeliveryStatus.GONE: lambda connection, _: retention.forget_delivery(connection, memory),
        },
    )


async def test_a_delivery_that_two_let_go_on_at_once_goes_on_once(database: Database) -> None:
    await put(database, tables.deliveries, "status", DeliveryStatus.HELD)
    async with database.read() as connection:
        seen = await deliveries.find_delivery(connection, DELIVERY)
    assert seen is not None
    for expected in (True, False):
        async with database.write() as connection:
            assert (await deliveries.wake_delivery(connection, seen, 1.0, is_approved=True)) is expected


async def test_a_delivery_that_is_worked_on_again_meanwhile_is_not_forgotten(database: Database) -> None:
    for is_memory in (True, False):
        async with database.write() as connection:
            old = OldDelivery(DELIVERY, "git", "push", 1, is_memory=is_memory)
            await retention.forget_delivery(connection, old)
        assert await read(database, tables.deliveries, "status") is DeliveryStatus.WAITING


async def test_a_state_that_nobody_knows_is_neither_written_nor_read(database: Database) -> None:
    with pytest.raises(Exception, match="is not among the defined enum values"):
        await put(database, tables.jobs, "status", "asleep")  # type: ignore[arg-type]
    async with database.write() as connection:
        await connection.execute(text("UPDATE jobs SET status = 'asleep'"))
    with pytest.raises((LookupError, ValueError), match="asleep"):
        async with database.read() as connection:
            await jobs.find_job(connection, JOB)
