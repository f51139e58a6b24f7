"""Registration tokens, which `agent register` spends: made, listed, ended. Each call is one transaction."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from agent.errors import NotFoundError
from agent.server.events import audit
from agent.server.events.changes import Changes
from agent.server.people import accounts
from agent.server.people.auth.tokens import REGISTRATION, create_token
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.store import projects, tokens
from agent.server.store.tokens import TokenRow


class RegistrationToken(msgspec.Struct, kw_only=True):
    """A token as it may be shown."""

    id: str
    name: str
    labels: list[str]
    group: str
    project: str | None
    uses_left: int | None
    created: Moment | None
    expires: Moment | None
    revoked: Moment | None


class NewRegistrationToken(RegistrationToken, kw_only=True):
    """A token, this once with what opens."""

    token: str


@dataclass(frozen=True, slots=True)
class RegistrationTerms:
    """What a new token may do: for so many agents (None: any number), so long; its agents get `labels`, `group`, `project`."""

    name: str
    uses: int | None
    expires_seconds: float | None
    labels: Sequence[str]
    group: str
    project: str | None


class RegistrationTokens:
    """The tokens that agents are registered with."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def make(self, terms: RegistrationTerms, user: int | None) -> NewRegistrationToken:
        """A token of `user`'s making. Raises NotFoundError for the project."""
        async with self._changes.begin() as change:
            project = None
            if terms.project is not None:
                project = await accounts.find_project(change.connection, terms.project)
            row, token = await create_token(
                change.connection,
                REGISTRATION,
                now=change.now,
                name=terms.name,
                uses=terms.uses,
                expires_seconds=terms.expires_seconds,
                labels=terms.labels,
                group=terms.group,
                user=user,
                project=None if project is None else project.id,
            )
            audit.note(token=row.id, uses=terms.uses, project=terms.project, group=terms.group)
        names = {} if project is None else {project.id: project.name}
        return NewRegistrationToken(**_fields(row, names), token=token)

    async def list_tokens(self, page: Page) -> tuple[list[RegistrationToken], str | None]:
        """All tokens, oldest first."""
        async with self._changes.database.read() as connection:
            found = await tokens.list_tokens(connection, REGISTRATION)
            names = await projects.names(connection)
        rows, after = part(found, page, lambda row: (row.created_at, row.id), tuple[float, str])
        return [RegistrationToken(**_fields(row, names)) for row in rows], after

    async def revoke(self, token: str) -> None:
        """End a token. Raises NotFoundError."""
        async with self._changes.begin() as change:
            if not await tokens.revoke_token(change.connection, token, REGISTRATION, change.now):
                raise NotFoundError("there is no such token, or it was revoked already")


def _fields(row: TokenRow, project_names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "labels": json.loads(row.labels),
        "group": row.group_name,
        "project": None if row.project is None else project_names[row.project],
        "uses_left": row.uses_left,
        "created": time_text(row.created_at),
        "expires": time_text(row.expires_at),
        "revoked": time_text(row.revoked_at),
    }
