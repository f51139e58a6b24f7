"""Flows that ask a role of who starts them by hand."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from server.vocabulary import ONE_JOB, migrate_aside

from agent.errors import RefusedError
from agent.flow.load import load_flow
from agent.flow.model import Flow, Position, Trigger, TriggerKind
from agent.server.people.auth.access import Caller
from agent.server.people.auth.roles import Role
from agent.server.runs.starters import check_starter
from agent.server.store.database import Connection, open_database


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[Connection]:
    migrate_aside(tmp_path / "flow.db")
    database = await open_database(tmp_path / "flow.db")
    try:
        async with database.read() as reading:
            yield reading
    finally:
        await database.close()


def make_flow(role: str) -> Flow:
    read = load_flow(ONE_JOB, "label.yml").flow
    trigger = Trigger("workflow_dispatch", Position("label.yml", 3, 5), TriggerKind.BY_HAND, role=role)
    return replace(read, triggers=(trigger,))


@pytest.mark.anyio
async def test_who_has_too_small_a_role_is_refused_with_the_one_that_the_flow_asks_for(
    connection: Connection,
) -> None:
    flow = make_flow("maintainer")
    for role in (Role.MAINTAINER, Role.ADMIN):
        await check_starter(connection, flow, 1, Caller(roles={1: role}))
    with pytest.raises(RefusedError, match="role maintainer in project 'default'; you are runner") as caught:
        await check_starter(connection, flow, 1, Caller(roles={1: Role.RUNNER}))
    assert caught.value.where == "label.yml:3:5"
    with pytest.raises(RefusedError, match="you are nobody there"):
        await check_starter(connection, flow, 1, Caller(roles={2: Role.ADMIN}))


@pytest.mark.anyio
async def test_a_flow_that_asks_for_no_role_and_one_that_starts_by_itself_are_let_through(
    connection: Connection,
) -> None:
    await check_starter(connection, make_flow(""), 1, Caller(roles={1: Role.RUNNER}))
    await check_starter(connection, make_flow("admin"), 1, None)
