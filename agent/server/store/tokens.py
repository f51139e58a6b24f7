"""Tokens, by the SHA-256 of what the holder shows.

`api` tokens open the HTTP API for a user, `session` ones for a user's browser; `registration` tokens make agents; `app-link` and
`app-visit` are `agent.server.people.app_visits`'.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import tokens


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token. `uses_left` None: no limit.

    An `api` token is its `user`'s, with at most the role `role` and in `project` only, where these are given. Agents
    that a `registration` token makes get its `labels` and `group_name`, and work for `project` only.
    """

    id: str
    kind: str
    hash: str
    name: str
    labels: str
    uses_left: int | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    user: int | None = None
    role: str | None = None
    project: int | None = None
    group_name: str = ""
    last_used_at: float | None = None
    parent: str | None = None

    def is_over(self, now: float) -> bool:
        """Whether it was revoked, or its time has come."""
        return self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now)


async def add_token(connection: AsyncConnection, row: TokenRow) -> None:
    """Store a token."""
    await connection.execute(
        insert(tokens).values(**{name: getattr(row, name) for name in TokenRow.__slots__})
    )


async def find_token(connection: AsyncConnection, digest: str) -> TokenRow | None:
    """The token with this hash, whether it is still good or not."""
    row = (await connection.execute(select(tokens).where(tokens.c.hash == digest))).mappings().one_or_none()
    return None if row is None else TokenRow(**row)


async def find_by_id(connection: AsyncConnection, token: str) -> TokenRow | None:
    """The token with this id, whether it is still good or not."""
    row = (await connection.execute(select(tokens).where(tokens.c.id == token))).mappings().one_or_none()
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


async def touch_token(connection: AsyncConnection, token: str, now: float) -> None:
    """The token was used."""
    await connection.execute(update(tokens).where(tokens.c.id == token).values(last_used_at=now))


async def list_tokens(connection: AsyncConnection, kind: str, user: int | None = None) -> list[TokenRow]:
    """All tokens of a kind, or only those of one user, newest first."""
    query = select(tokens).where(tokens.c.kind == kind).order_by(tokens.c.created_at.desc(), tokens.c.id)
    if user is not None:
        query = query.where(tokens.c.user == user)
    return [TokenRow(**row) for row in (await connection.execute(query)).mappings()]


async def revoke_token(
    connection: AsyncConnection, token: str, kind: str, now: float, user: int | None = None
) -> bool:
    """End a token (of `user`, where one is named); False when there is none such or it was revoked already.

    The browsers that were signed in with it are signed out.
    """
    is_it = or_(and_(tokens.c.id == token, tokens.c.kind == kind), tokens.c.parent == token)
    ending = update(tokens).where(is_it, tokens.c.revoked_at.is_(None)).values(revoked_at=now)
    if user is not None:
        ending = ending.where(tokens.c.user == user)
    return (await connection.execute(ending)).rowcount > 0


async def revoke_hash(connection: AsyncConnection, digest: str, kind: str, now: float) -> None:
    """End the token with this hash, if there is one."""
    await connection.execute(
        update(tokens)
        .where(tokens.c.hash == digest, tokens.c.kind == kind, tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


async def forget_over(connection: AsyncConnection, kinds: Sequence[str], before: float) -> None:
    """Forget the tokens of these kinds that were over then."""
    await connection.execute(delete(tokens).where(tokens.c.kind.in_(kinds), tokens.c.expires_at < before))


async def revoke_all(connection: AsyncConnection, user: int, now: float, kind: str | None = None) -> None:
    """End all tokens of a user, or all of one kind."""
    ending = update(tokens).where(tokens.c.user == user, tokens.c.revoked_at.is_(None))
    if kind is not None:
        ending = ending.where(tokens.c.kind == kind)
    await connection.execute(ending.values(revoked_at=now))
