"""Users and their roles in projects."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import memberships, users

FIRST = 1  # the id of the user that is always there, `admin`


@dataclass(frozen=True, slots=True)
class UserRow:
    """A user. `password` is argon2's text; `subject` says which account of a sign-in provider is theirs."""

    id: int
    name: str
    kind: str
    is_admin: bool
    password: str | None
    subject: str | None
    created_at: float
    disabled_at: float | None


@dataclass(frozen=True, slots=True)
class MemberRow:
    """A user's role in a project. `origin` is `set` (by a person) or `claim` (by the sign-in provider)."""

    user: int
    name: str
    role: str
    origin: str


async def add_user(connection: AsyncConnection, **values: object) -> int | None:
    """A new user's id, or None when the name or the subject is taken. `values` are columns."""
    statement = insert(users).values(**values).returning(users.c.id)
    try:
        async with connection.begin_nested():
            return int((await connection.execute(statement)).scalar_one())
    except IntegrityError:
        return None


async def find_user(connection: AsyncConnection, user: int) -> UserRow | None:
    """The user with this id."""
    row = (await connection.execute(select(users).where(users.c.id == user))).mappings().one_or_none()
    return None if row is None else UserRow(**row)


async def find_by_name(connection: AsyncConnection, name: str) -> UserRow | None:
    """The user of this name."""
    row = (await connection.execute(select(users).where(users.c.name == name))).mappings().one_or_none()
    return None if row is None else UserRow(**row)


async def find_by_subject(connection: AsyncConnection, subject: str) -> UserRow | None:
    """The user whose account at a sign-in provider this is."""
    row = (await connection.execute(select(users).where(users.c.subject == subject))).mappings().one_or_none()
    return None if row is None else UserRow(**row)


async def list_users(connection: AsyncConnection) -> list[UserRow]:
    """All users by name."""
    query = select(users).order_by(users.c.name)
    return [UserRow(**row) for row in (await connection.execute(query)).mappings()]


async def lock_admins(connection: AsyncConnection) -> list[int]:
    """The admins of the organisation that can act, held until the transaction ends: two can't remove each other."""
    query = select(users.c.id).where(users.c.is_admin, users.c.disabled_at.is_(None)).with_for_update()
    return [row.id for row in await connection.execute(query)]


async def update_user(connection: AsyncConnection, user: int, **values: object) -> None:
    """Change columns of a user."""
    await connection.execute(update(users).where(users.c.id == user).values(**values))


async def roles_of(connection: AsyncConnection, user: int) -> dict[int, str]:
    """The user's role by project."""
    query = select(memberships.c.project, memberships.c.role).where(memberships.c.user == user)
    return {row.project: row.role for row in await connection.execute(query)}


async def list_members(connection: AsyncConnection, project: int) -> list[MemberRow]:
    """Who has a role in the project, by name."""
    query = (
        select(memberships.c.user, users.c.name, memberships.c.role, memberships.c.origin)
        .join(users, users.c.id == memberships.c.user)
        .where(memberships.c.project == project)
        .order_by(users.c.name)
    )
    return [MemberRow(**row) for row in (await connection.execute(query)).mappings()]


async def put_member(
    connection: AsyncConnection, user: int, project: int, role: str, now: float, origin: str = "set"
) -> None:
    """Give the user this role in the project, instead of any other."""
    await remove_member(connection, user, project)
    await connection.execute(
        insert(memberships).values(user=user, project=project, role=role, origin=origin, created_at=now)
    )


async def remove_member(connection: AsyncConnection, user: int, project: int) -> bool:
    """Take the user's role in the project away; False when there was none."""
    statement = delete(memberships).where(memberships.c.user == user, memberships.c.project == project)
    return (await connection.execute(statement)).rowcount == 1


async def replace_claimed(
    connection: AsyncConnection, user: int, roles: Mapping[int, str], now: float
) -> None:
    """What the sign-in provider says now: roles that it gave before are gone, those that people gave stay."""
    await connection.execute(
        delete(memberships).where(memberships.c.user == user, memberships.c.origin == "claim")
    )
    given = await roles_of(connection, user)
    for project, role in roles.items():
        if project not in given:
            await put_member(connection, user, project, role, now, origin="claim")
