"""The users of this server as admins of the organisation look after them. Each call is one transaction."""

from typing import Any, Literal

import msgspec

from agent.server.events.changes import Changes
from agent.server.people import accounts
from agent.server.people.accounts import Kind
from agent.server.people.auth.passwords import hash_password
from agent.server.pools import Pool
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.store import projects, users
from agent.server.store.users import UserRow


class UserView(msgspec.Struct, kw_only=True):
    """A user."""

    name: str
    kind: str
    admin: bool
    signs_in_by: Literal["password", "provider", "token"]
    created: Moment | None
    disabled: Moment | None


class UserDetail(UserView, kw_only=True):
    """A user with their roles by project."""

    roles: dict[str, str]


class Users:
    """Who there is. Passwords are hashed here, on threads of their own."""

    def __init__(self, changes: Changes, passwords: Pool) -> None:
        self._changes = changes
        self._passwords = passwords

    async def list_users(self, page: Page) -> tuple[list[UserView], str | None]:
        """All users by name."""
        async with self._changes.database.read() as connection:
            found = await users.list_users(connection)
        rows, after = part(found, page, lambda row: row.name, str)
        return [view_user(row) for row in rows], after

    async def show(self, name: str) -> UserDetail:
        """A user with their roles. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            user = await accounts.find_user(connection, name)
            names = await projects.names(connection)
            roles = await users.roles_of(connection, user.id)
        shown = {names[project]: role for project, role in roles.items()}
        return UserDetail(**_fields(user), roles=shown)

    async def create(self, name: str, *, kind: Kind, is_admin: bool, password: str | None) -> UserView:
        """A new user. Raises UsageError, ConflictError when the name is taken."""
        hashed = await self._hash(password)
        async with self._changes.begin() as change:
            user = await accounts.create_user(change, name, kind=kind, is_admin=is_admin, password=hashed)
        return view_user(user)

    async def change(
        self, name: str, *, is_admin: bool | None, is_disabled: bool | None, password: str | None
    ) -> UserView:
        """Change what is given. Raises NotFoundError, ConflictError."""
        hashed = await self._hash(password)
        async with self._changes.begin() as change:
            user = await accounts.find_user(change.connection, name)
            user = await accounts.change_user(
                change, user, is_admin=is_admin, is_disabled=is_disabled, password=hashed
            )
        return view_user(user)

    async def find(self, user: int) -> UserRow:
        """The user with this id. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            return await accounts.load_user(connection, user)

    async def set_password(self, user: UserRow, password: str) -> None:
        """Give the user another password; all their browsers are signed out."""
        hashed = await self._hash(password)
        async with self._changes.begin() as change:
            await accounts.change_user(change, user, password=hashed)

    async def _hash(self, password: str | None) -> str | None:
        return None if password is None else await self._passwords.run(hash_password, password)


def view_user(row: UserRow) -> UserView:
    """A user as it may be shown."""
    return UserView(**_fields(row))


def _fields(row: UserRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "kind": row.kind,
        "admin": row.is_admin,
        "signs_in_by": "password" if row.password else "provider" if row.subject else "token",
        "created": time_text(row.created_at),
        "disabled": time_text(row.disabled_at),
    }
