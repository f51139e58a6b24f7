"""Keys that sign the tokens of jobs."""

from dataclasses import dataclass

from sqlalchemy import delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import id_token_keys


@dataclass(frozen=True, slots=True)
class IdTokenKeyRow:
    """A key; `public` is a JSON Web Key as text, `sealed` the private one, encrypted. Times are seconds since the epoch."""

    id: str
    public: str
    sealed: bytes
    created_at: float
    signs_from: float
    published_until: float | None  # None: nobody has replaced it


async def add_key(connection: AsyncConnection, row: IdTokenKeyRow) -> None:
    """Store a new key."""
    values = {name: getattr(row, name) for name in IdTokenKeyRow.__slots__}
    await connection.execute(insert(id_token_keys).values(**values))


async def list_published(connection: AsyncConnection, now: float) -> list[IdTokenKeyRow]:
    """The keys with which a token may be checked, those first that sign soonest or have signed longest."""
    until = id_token_keys.c.published_until
    query = select(id_token_keys).where(or_(until.is_(None), until > now))
    found = await connection.execute(query.order_by(id_token_keys.c.signs_from, id_token_keys.c.id))
    return [IdTokenKeyRow(**row) for row in found.mappings()]


async def retire_current(connection: AsyncConnection, until: float) -> None:
    """Publish the keys that nobody has replaced yet for so long, and no longer."""
    statement = update(id_token_keys).where(id_token_keys.c.published_until.is_(None))
    await connection.execute(statement.values(published_until=until))


async def retire_all(connection: AsyncConnection, until: float) -> None:
    """Publish no key for longer than `until`."""
    await connection.execute(update(id_token_keys).values(published_until=until))


async def remove_unpublished(connection: AsyncConnection, now: float) -> None:
    """Forget the keys with which nothing can be checked any more."""
    await connection.execute(delete(id_token_keys).where(id_token_keys.c.published_until <= now))
