"""Users, their tokens and their roles: what may be made and changed, over HTTP and on the server's own machine alike."""

import re
from typing import Literal

from agent.errors import NotFoundError, UsageError
from agent.server.events import audit
from agent.server.events.changes import Change
from agent.server.people.auth.roles import Role, read_role
from agent.server.people.auth.tokens import API, SESSION, create_token
from agent.server.process.problems import ConflictError
from agent.server.store import projects, tokens, users
from agent.server.store.database import Connection
from agent.server.store.projects import ProjectRow
from agent.server.store.tokens import TokenRow
from agent.server.store.users import UserRow

Kind = Literal["person", "service"]
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
_LONGEST_TOKEN_NAME = 100


def read_kind(text: str) -> Kind:
    """A kind of user by its name. Raises UsageError."""
    if text not in ("person", "service"):
        raise UsageError(f"'{text[:40]}' is no kind of user", where="kind", hint="person or service")
    return "service" if text == "service" else "person"


def check_name(name: str, what: str) -> str:
    """`name`, which may name a user or a project. Raises UsageError."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name[:80]}' is no name for a {what}",
            hint="use 1 to 63 small letters, digits and . _ - within, beginning and ending with one of the first two",
        )
    return name


async def create_user(
    change: Change,
    name: str,
    *,
    kind: Kind = "person",
    is_admin: bool = False,
    password: str | None = None,
    subject: str | None = None,
) -> UserRow:
    """A new user; `password` is its hash. Raises UsageError for the name, ConflictError when it is taken."""
    check_name(name, "user")
    if kind == "service" and password is not None:
        raise UsageError("a service account has tokens, no password", where=name)
    user = await users.add_user(
        change.connection,
        name=name,
        kind=kind,
        is_admin=is_admin,
        password=password,
        subject=subject,
        created_at=change.now,
    )
    if user is None:
        raise ConflictError(f"there is a user '{name}' already")
    audit.note(user=name, kind=kind, admin=is_admin)
    return await _found(change.connection, user)


async def change_user(
    change: Change,
    user: UserRow,
    *,
    is_admin: bool | None = None,
    is_disabled: bool | None = None,
    password: str | None = None,
) -> UserRow:
    """Change what is given; `password` is a hash. Who is disabled loses all tokens and sessions, a new password ends the sessions.

    Raises ConflictError when nobody would be left who could undo it.
    """
    values: dict[str, object] = {}
    if is_admin is not None:
        values["is_admin"] = is_admin
    if is_disabled is not None:
        values["disabled_at"] = change.now if is_disabled else None
    if password is not None:
        values["password"] = password
    may_be_last = is_admin is False or is_disabled
    if may_be_last and set(await users.lock_admins(change.connection)) <= {user.id}:
        raise ConflictError(f"'{user.name}' is the last admin of the organisation", hint="make another first")
    audit.note(user=user.name, changed=sorted(values), admin=is_admin, disabled=is_disabled)
    if values:
        await users.update_user(change.connection, user.id, **values)
    if is_disabled or password is not None:
        kind = None if is_disabled else SESSION
        await tokens.revoke_all(change.connection, user.id, change.now, kind)
    return await _found(change.connection, user.id)


async def find_user(connection: Connection, name: str) -> UserRow:
    """The user of this name. Raises NotFoundError."""
    row = await users.find_by_name(connection, name)
    if row is None:
        raise NotFoundError(f"there is no user '{name[:80]}'", hint="see: agent server user list")
    return row


async def load_user(connection: Connection, user: int) -> UserRow:
    """The user with this id. Raises NotFoundError."""
    row = await users.find_user(connection, user)
    if row is None:
        raise NotFoundError("this account is gone")
    return row


async def find_project(connection: Connection, name: str) -> ProjectRow:
    """The project of this name. Raises NotFoundError."""
    row = await projects.find_by_name(connection, name)
    if row is None:
        raise NotFoundError(f"there is no project '{name[:80]}'", hint="see: agent server project list")
    return row


async def create_personal_token(
    change: Change,
    user: UserRow,
    *,
    name: str = "",
    expires_seconds: float | None = None,
    role: Role | None = None,
    project: int | None = None,
) -> tuple[TokenRow, str]:
    """A token for the API: its row, and the token itself, which nobody can show a second time.

    Raises UsageError for a bad name, ConflictError when the user is disabled.
    """
    if len(name) > _LONGEST_TOKEN_NAME or not (name.isprintable() or not name):
        raise UsageError(f"a token's name has up to {_LONGEST_TOKEN_NAME} printable characters", where="name")
    if user.disabled_at is not None:
        raise ConflictError(f"the user '{user.name}' is disabled")
    row, token = await create_token(
        change.connection,
        API,
        now=change.now,
        name=name,
        expires_seconds=expires_seconds,
        user=user.id,
        role=None if role is None else role.label,
        project=project,
    )
    audit.note(user=user.name, token=row.id, role=row.role, token_project=project)
    return row, token


async def set_role(change: Change, user: UserRow, project: ProjectRow, role: str | None) -> None:
    """Give the user this role in the project, or (None) none. Raises UsageError, NotFoundError."""
    audit.note(user=user.name, project=project.name, role=role)
    if role is not None:
        await users.put_member(change.connection, user.id, project.id, read_role(role).label, change.now)
    elif not await users.remove_member(change.connection, user.id, project.id):
        raise NotFoundError(f"'{user.name}' has no role in the project", where=project.name)


async def _found(connection: Connection, user: int) -> UserRow:
    row = await users.find_user(connection, user)
    assert row is not None
    return row
