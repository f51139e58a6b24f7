"""The server processes on this database, and which of them holds which agent's connection."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import agents, installation, servers

SILENT_SECONDS = 20.0  # without a heartbeat for so long a server counts as dead


@dataclass(frozen=True, slots=True)
class ServerRow:
    """One server process. It is alive as long as its heartbeat is young."""

    id: str
    address: str
    software: str
    started_at: float
    heartbeat_at: float


@dataclass(frozen=True, slots=True)
class Installation:
    """What all servers of one database have in common; the key is encrypted."""

    id: str
    signing_key: bytes


async def add_server(connection: AsyncConnection, row: ServerRow) -> None:
    """A server process begins."""
    await connection.execute(
        insert(servers).values(**{name: getattr(row, name) for name in ServerRow.__slots__})
    )


async def note_heartbeat(connection: AsyncConnection, server: str, now: float) -> bool:
    """The server process lives; False when others have taken it for dead."""
    statement = update(servers).where(servers.c.id == server).values(heartbeat_at=now)
    return (await connection.execute(statement)).rowcount == 1


async def last_heartbeat(connection: AsyncConnection) -> float | None:
    """When any server was last alive."""
    found = await connection.execute(select(func.max(servers.c.heartbeat_at)))
    last: float | None = found.scalar_one_or_none()
    return last


async def find_address(connection: AsyncConnection, server: str) -> str | None:
    """Where the other servers reach this one; None when it is gone."""
    return (
        await connection.execute(select(servers.c.address).where(servers.c.id == server))
    ).scalar_one_or_none()


async def remove_servers(
    connection: AsyncConnection, *, server: str | None = None, before: float | None = None
) -> bool:
    """Forget a server process, or those that were last alive `before`; nobody is connected to them any more.

    True when somebody was.
    """
    gone = servers.c.id == server if server is not None else servers.c.heartbeat_at < before
    await connection.execute(delete(servers).where(gone))
    left = select(servers.c.id)
    orphans = agents.c.connected_to.is_not(None) & agents.c.connected_to.not_in(left)
    statement = update(agents).where(orphans).values(connected_to=None, ready=None)
    return (await connection.execute(statement)).rowcount > 0


async def connect_agent(connection: AsyncConnection, agent: str, server: str) -> int | None:
    """The agent has proved itself to `server`: the number of this connection, which ends all with a smaller one.

    None when the agent was removed.
    """
    statement = (
        update(agents)
        .where(agents.c.id == agent, agents.c.removed_at.is_(None))
        .values(connected_to=server, connection=agents.c.connection + 1, ready=None)
        .returning(agents.c.connection)
    )
    number: int | None = (await connection.execute(statement)).scalar_one_or_none()
    return number


async def disconnect_agent(connection: AsyncConnection, agent: str, number: int) -> bool:
    """The agent's connection `number` is over; False when a newer one has taken its place."""
    statement = update(agents).where(agents.c.id == agent, agents.c.connection == number)
    return (await connection.execute(statement.values(connected_to=None, ready=None))).rowcount == 1


async def find_connection(connection: AsyncConnection, agent: str) -> int | None:
    """The number of the agent's newest connection; None when the agent was removed."""
    query = select(agents.c.connection).where(agents.c.id == agent, agents.c.removed_at.is_(None))
    return (await connection.execute(query)).scalar_one_or_none()


async def note_readiness(connection: AsyncConnection, agent: str, number: int, ready: str | None) -> bool:
    """What the agent can be given (JSON text); False when a newer connection counts."""
    statement = update(agents).where(
        agents.c.id == agent, agents.c.connection == number, agents.c.removed_at.is_(None)
    )
    return (await connection.execute(statement.values(ready=ready))).rowcount == 1


async def find_readiness(connection: AsyncConnection, agent: str, since: float) -> str | None:
    """What the agent can be given, JSON, when a server that was alive since `since` holds its connection."""
    alive = select(servers.c.id).where(servers.c.heartbeat_at >= since)
    query = select(agents.c.ready).where(agents.c.id == agent, agents.c.connected_to.in_(alive))
    return (await connection.execute(query)).scalar_one_or_none()


async def list_ready(connection: AsyncConnection, *, besides: str, since: float) -> list[str]:
    """What the agents can be given whose connections other servers than `besides`, alive since `since`, hold: JSON."""
    alive = select(servers.c.id).where(servers.c.heartbeat_at >= since, servers.c.id != besides)
    query = select(agents.c.ready).where(
        agents.c.ready.is_not(None), agents.c.removed_at.is_(None), agents.c.connected_to.in_(alive)
    )
    return list((await connection.execute(query)).scalars())


async def list_connected(connection: AsyncConnection, since: float) -> Mapping[str, str]:
    """The agents that are connected to servers alive since `since`: to which server each."""
    alive = select(servers.c.id).where(servers.c.heartbeat_at >= since)
    query = select(agents.c.id, agents.c.connected_to).where(agents.c.connected_to.in_(alive))
    return {row.id: row.connected_to for row in await connection.execute(query)}


async def find_installation(connection: AsyncConnection) -> Installation | None:
    """What the servers of this database have in common; None before the first has started."""
    query = select(installation.c.id, installation.c.signing_key)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else Installation(**row)


async def add_installation(connection: AsyncConnection, common: Installation, now: float) -> None:
    """The first server of this database says what all have in common."""
    values = {"id": common.id, "signing_key": common.signing_key, "created_at": now}
    await connection.execute(insert(installation).values(**values))


async def replace_signing_key(connection: AsyncConnection, signing_key: bytes) -> None:
    """The same key under a newer master key."""
    await connection.execute(update(installation).values(signing_key=signing_key))
