"""Tokens, by the SHA-256 of what the holder shows. `api` tokens open the HTTP API, `registration` tokens make agents."""

from dataclasses import dataclass

from sqlalchemy import insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import tokens


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token. `uses_left` None: no limit."""

    id: str
    kind: str
    hash: str
    name: str
    labels: str
    uses_left: int | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None


async def add_token(connection: AsyncConnection, row: TokenRow) -> None:
    """Store a token."""
    await connection.execute(
        insert(tokens).values(**{name: getattr(row, name) for name in TokenRow.__slots__})
    )


async def find_token(connection: AsyncConnection, digest: str) -> TokenRow | None:
    """The token with this hash, whether it is still good or not."""
    row = (await connection.execute(select(tokens).where(tokens.c.hash == digest))).mappings().one_or_none()
    return None if row is None else TokenRow(**row)


async def spend_token(connection: AsyncConnection, token: str, now: float) -> bool:
    """Use a registration token once, in one statement, so that two who redeem it at once can't both win."""
    statement = (
        update(tokens)
        .where(
            tokens.c.id == token,
            tokens.c.revoked_at.is_(None),
            or_(tokens.c.expires_at.is_(None), tokens.c.expires_at > now),
            or_(tokens.c.uses_left.is_(None), tokens.c.uses_left > 0),
        )
        .values(uses_left=tokens.c.uses_left - 1)
    )
    return (await connection.execute(statement)).rowcount == 1


async def list_tokens(connection: AsyncConnection, kind: str) -> list[TokenRow]:
    """All tokens of a kind, newest first."""
    query = select(tokens).where(tokens.c.kind == kind).order_by(tokens.c.created_at.desc(), tokens.c.id)
    return [TokenRow(**row) for row in (await connection.execute(query)).mappings()]


async def revoke_token(connection: AsyncConnection, token: str, kind: str, now: float) -> bool:
    """End a token; False when there is none such or it was revoked already."""
    result = await connection.execute(
        update(tokens)
        .where(tokens.c.id == token, tokens.c.kind == kind, tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    return result.rowcount == 1
