"""Users' tokens for the API: listed, made, ended. Each call is one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.errors import NotFoundError, RefusedError
from agent.server.events import audit
from agent.server.events.changes import Changes
from agent.server.people import accounts
from agent.server.people.auth.access import Caller, nothing_there
from agent.server.people.auth.roles import Role, read_role
from agent.server.people.auth.tokens import API
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.store import projects, tokens, users
from agent.server.store.database import Connection
from agent.server.store.tokens import TokenRow
from agent.server.store.users import UserRow


class TokenView(msgspec.Struct, kw_only=True):
    """A token for the API, without what opens; `role` and `project` are what it is limited to."""

    id: str
    name: str
    role: str | None
    project: str | None
    created: Moment | None
    expires: Moment | None
    last_used: Moment | None
    revoked: Moment | None


class NewToken(TokenView, kw_only=True):
    """A token, this once with what opens."""

    user: str
    token: str


@dataclass(frozen=True, slots=True)
class TokenLimits:
    """What is asked of a new token: for how long, in seconds (None: for ever), and what it may; None: all that its user may."""

    name: str = ""
    expires_seconds: float | None = None
    role: str | None = None
    project: str | None = None


class PersonalTokens:
    """The tokens of users. A user is named by id, where it is the caller, or by name."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def list_of(self, user: int | str, page: Page) -> tuple[list[TokenView], str | None]:
        """The user's tokens, newest first. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            names = await projects.names(connection)
            found = await tokens.list_tokens(connection, API, (await _find(connection, user)).id)
        rows, after = part(
            found, page, lambda row: (row.created_at, row.id), tuple[float, str], descending=True
        )
        return [TokenView(**token_fields(row, names)) for row in rows], after

    async def list_good(self, user: int) -> list[TokenView]:
        """The user's tokens that are not over, newest first."""
        async with self._changes.database.read() as connection:
            names = await projects.names(connection)
            rows = await tokens.list_tokens(connection, API, user)
        now = self._changes.clock.now()
        return [TokenView(**token_fields(row, names)) for row in rows if not row.is_over(now)]

    async def make(self, user: int | str, wanted: TokenLimits, caller: Caller) -> NewToken:
        """A token for `user`, not stronger and not longer-lived than the caller's own.

        Raises NotFoundError, UsageError, RefusedError, ConflictError when the user is disabled.
        """
        async with self._changes.begin() as change:
            holder = await _find(change.connection, user)
            row, token = await accounts.create_personal_token(
                change,
                holder,
                name=wanted.name,
                expires_seconds=_seconds(caller, wanted.expires_seconds, change.now),
                role=_role(caller, wanted.role),
                project=await _project(change.connection, caller, wanted.project),
            )
            names = await projects.names(change.connection)
        return NewToken(**token_fields(row, names), user=holder.name, token=token)

    async def make_for(self, user: UserRow, *, name: str, expires_seconds: float) -> NewToken:
        """A token for a user who has just shown a password. Raises UsageError."""
        async with self._changes.begin() as change:
            row, token = await accounts.create_personal_token(
                change, user, name=name, expires_seconds=expires_seconds
            )
        return NewToken(**token_fields(row, {}), user=user.name, token=token)

    async def make_in_browser(self, caller: Caller, *, name: str, expires_seconds: float) -> str:
        """A token for a user who is signed in by browser: what opens. Raises UsageError, RefusedError."""
        async with self._changes.begin() as change:
            user = await users.find_user(change.connection, caller.user or 0)
            if user is None or caller.is_limited:
                raise RefusedError("tokens are made here by people who are signed in; programs use the API")
            _, token = await accounts.create_personal_token(
                change, user, name=name, expires_seconds=expires_seconds
            )
        return token

    async def revoke(self, name: str, token: str) -> None:
        """End a token of the user of this name. Raises NotFoundError."""
        async with self._changes.begin() as change:
            user = await accounts.find_user(change.connection, name)
            audit.note(user=user.name, token=token)
            if not await tokens.revoke_token(change.connection, token, API, change.now, user.id):
                raise NotFoundError("there is no such token, or it was revoked already")

    async def revoke_own(self, caller: Caller, token: str) -> None:
        """End one of the caller's own tokens. Raises NotFoundError."""
        async with self._changes.begin() as change:
            audit.note(token=token)
            if not await tokens.revoke_token(change.connection, token, API, change.now, caller.user):
                raise NotFoundError("there is no such token of yours, or it was revoked already")


def token_fields(row: TokenRow, projects_by_id: Mapping[int, str]) -> dict[str, Any]:
    """What may be shown of a token for the API."""
    return {
        "id": row.id,
        "name": row.name,
        "role": row.role,
        "project": None if row.project is None else projects_by_id[row.project],
        "created": time_text(row.created_at),
        "expires": time_text(row.expires_at),
        "last_used": time_text(row.last_used_at),
        "revoked": time_text(row.revoked_at),
    }


async def _find(connection: Connection, user: int | str) -> UserRow:
    if isinstance(user, str):
        return await accounts.find_user(connection, user)
    return await accounts.load_user(connection, user)


def _role(caller: Caller, wanted: str | None) -> Role | None:
    role = None if wanted is None else read_role(wanted)
    return role if caller.cap is None else min(role or caller.cap, caller.cap)


def _seconds(caller: Caller, wanted: float | None, now: float) -> float | None:
    if caller.until is None:
        return wanted
    left = max(caller.until - now, 0.0)
    return left if wanted is None else min(wanted, left)


async def _project(connection: Connection, caller: Caller, wanted: str | None) -> int | None:
    if wanted is None:
        return caller.only_project
    project = await projects.find_by_name(connection, wanted)
    if project is None or caller.role_in(project.id) is None:
        raise nothing_there()
    if caller.only_project not in (None, project.id):
        raise RefusedError("this token is limited to another project", where=wanted)
    return project.id
