"""Agents: who is registered, and what each said of itself last."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.hot import Hot
from agent.server.store.schema import agents


@dataclass(frozen=True, slots=True)
class AgentRow:
    """One registered agent. `labels`, `identity` and `inventory` are JSON text."""

    id: str
    name: str
    group_name: str
    labels: str
    max_jobs: int
    is_ephemeral: bool
    is_draining: bool
    identity: str
    inventory: str
    software: str
    created_at: float
    last_seen_at: float
    removed_at: float | None
    set_labels: str | None
    set_max_jobs: int | None
    set_draining: bool
    projects: str | None
    address: str
    generation: int = 0


_COLUMNS = [agents.c[name] for name in AgentRow.__slots__]
_FIND = Hot(select(*_COLUMNS).where(agents.c.id == bindparam("wanted"), agents.c.removed_at.is_(None)))
_NAME = Hot(select(agents.c.id, agents.c.name).where(agents.c.id == bindparam("wanted")))


async def add_agent(connection: AsyncConnection, row: AgentRow) -> None:
    """Insert a new agent."""
    await connection.execute(
        insert(agents).values(**{name: getattr(row, name) for name in AgentRow.__slots__})
    )


async def find_agent(connection: AsyncConnection, agent: str) -> AgentRow | None:
    """The agent with this id, unless it was removed."""
    row = await _FIND.row(connection, wanted=agent)
    return None if row is None else AgentRow(*row)


async def find_by_name(connection: AsyncConnection, name: str) -> AgentRow | None:
    """The agent with this name, unless it was removed."""
    query = select(*_COLUMNS).where(agents.c.name == name, agents.c.removed_at.is_(None))
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else AgentRow(**row)


async def list_agents(connection: AsyncConnection) -> list[AgentRow]:
    """All agents by name."""
    query = select(*_COLUMNS).where(agents.c.removed_at.is_(None)).order_by(agents.c.name)
    return [AgentRow(**row) for row in (await connection.execute(query)).mappings()]


async def names_of(connection: AsyncConnection, ids: Iterable[str | None]) -> dict[str, str]:
    """Names by id, removed agents too: what to call those that jobs ran on."""
    wanted = list({id_ for id_ in ids if id_})
    if not wanted:
        return {}
    rows = [await _NAME.row(connection, wanted=agent) for agent in wanted]
    return {row[0]: row[1] for row in rows if row is not None}


async def find_figures(connection: AsyncConnection, agent: str) -> dict[str, object]:
    """The samples of the agent's machine that were written down last."""
    text = (
        await connection.execute(select(agents.c.figures).where(agents.c.id == agent))
    ).scalar_one_or_none()
    return dict(json.loads(text)) if text else {}


async def list_figures(
    connection: AsyncConnection, ids: Collection[str]
) -> list[tuple[str, str, dict[str, object]]]:
    """As `find_figures`, of these agents: id, name, samples."""
    query = select(agents.c.id, agents.c.name, agents.c.figures).where(agents.c.removed_at.is_(None))
    rows = (await connection.execute(query)).all()
    return [
        (row.id, row.name, dict(json.loads(row.figures))) for row in rows if row.id in ids and row.figures
    ]


_NOTE_ALIVE = Hot(
    update(agents)
    .where(agents.c.id == bindparam("wanted"), agents.c.removed_at.is_(None))
    .values(last_seen_at=bindparam("at"), figures=bindparam("new_figures"))
)


async def note_alive(connection: AsyncConnection, agent: str, figures: str, now: float) -> None:
    """The agent was heard of, with these samples of its machine (JSON text)."""
    await _NOTE_ALIVE.count(connection, wanted=agent, at=now, new_figures=figures)


async def update_agent(connection: AsyncConnection, agent: str, **values: object) -> bool:
    """Set columns of an agent; False when it is not there or was removed."""
    result = await connection.execute(
        update(agents).where(agents.c.id == agent, agents.c.removed_at.is_(None)).values(**values)
    )
    return result.rowcount == 1
