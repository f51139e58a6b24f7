"""Requests by their `Idempotency-Key`: claimed by the first, answered to all that repeat it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import idempotency_keys as keys
from agent.server.store.upsert import insert


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A request that came with a key. `status` None: it has not ended."""

    digest: str
    created_at: float
    status: int | None
    answer: bytes | None


async def claim_key(connection: AsyncConnection, owner: str, key: str, digest: str, now: float) -> bool:
    """Be the first with this key; False when somebody was."""
    statement = insert(connection, keys).values(owner=owner, key=key, digest=digest, created_at=now)
    return (await connection.execute(statement.on_conflict_do_nothing())).rowcount == 1


async def find_key(connection: AsyncConnection, owner: str, key: str) -> KeyRow | None:
    """What is known of the key."""
    columns = [keys.c[name] for name in KeyRow.__slots__]
    query = select(*columns).where(keys.c.owner == owner, keys.c.key == key)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else KeyRow(**row)


async def list_digests(connection: AsyncConnection, owner: str, names: Collection[str]) -> dict[str, str]:
    """What was sent under those of the owner's keys that are known, by key."""
    query = select(keys.c.key, keys.c.digest).where(keys.c.owner == owner, keys.c.key.in_(list(names)))
    return {row.key: row.digest for row in await connection.execute(query)}


async def add_keys(connection: AsyncConnection, owner: str, digests: Mapping[str, str], now: float) -> None:
    """Remember keys whose answer follows from them: what was sent under each."""
    rows = [
        {"owner": owner, "key": key, "digest": digest, "created_at": now} for key, digest in digests.items()
    ]
    await connection.execute(insert(connection, keys).on_conflict_do_nothing(), rows)


async def save_answer(connection: AsyncConnection, owner: str, key: str, status: int, answer: bytes) -> None:
    """The request has ended so."""
    where = (keys.c.owner == owner, keys.c.key == key)
    await connection.execute(update(keys).where(*where).values(status=status, answer=answer))


async def release_key(connection: AsyncConnection, owner: str, key: str) -> None:
    """The request did nothing: the key is free again."""
    await connection.execute(delete(keys).where(keys.c.owner == owner, keys.c.key == key))


async def forget_keys(connection: AsyncConnection, before: float) -> None:
    """Forget what is older."""
    await connection.execute(delete(keys).where(keys.c.created_at < before))
