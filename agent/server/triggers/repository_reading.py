"""Repositories as people see them. They are connected, changed and forgotten by `connected`."""

import json
from typing import Any, Literal

import msgspec

from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.store import repositories
from agent.server.store.database import Database
from agent.server.store.repositories import RepositoryRow

Provider = Literal["github", "gitea", "gitlab", "git"]
Forks = Literal["approve", "run", "never"]


class RepositoryView(msgspec.Struct, kw_only=True):
    """A repository. `problem`: why it could not be read last time."""

    id: str
    name: str
    provider: Provider
    url: str
    api_url: str
    default_branch: str
    folders: list[str]
    forks: Forks
    reports_status: bool
    has_token: bool
    webhook: str | None
    head: str
    problem: str
    synced: Moment | None
    created: Moment | None


class ConnectedView(RepositoryView, kw_only=True):
    """A repository that was just connected: the only place that shows its webhook's secret."""

    secret: str


class RepositoryReading:
    """Reads repositories. `base_url` is where their webhooks find this server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_of(
        self, project: int, page: Page, base_url: str
    ) -> tuple[list[RepositoryView], str | None]:
        """The project's repositories by name."""
        async with self._database.read() as connection:
            found = await repositories.list_repositories(connection, project)
        rows, after = part(found, page, lambda row: (row.name, row.id), tuple[str, str])
        return [view_repository(row, base_url) for row in rows], after


def view_repository(row: RepositoryRow, base_url: str) -> RepositoryView:
    """A repository's row."""
    return RepositoryView(**_fields(row, base_url))


def view_connected(row: RepositoryRow, base_url: str, secret: str) -> ConnectedView:
    """The row of one that was just connected."""
    return ConnectedView(**_fields(row, base_url), secret=secret)


def _fields(row: RepositoryRow, base_url: str) -> dict[str, Any]:
    has_hook = row.provider != "git"
    return {
        "id": row.id,
        "name": row.name,
        "provider": row.provider,
        "url": row.url,
        "api_url": row.api_url,
        "default_branch": row.default_branch,
        "folders": json.loads(row.folders),
        "forks": row.forks,
        "reports_status": row.reports_status,
        "has_token": row.credentials is not None,
        "webhook": f"{base_url}/hooks/{row.provider}/{row.id}" if has_hook else None,
        "head": row.head,
        "problem": row.problem,
        "synced": time_text(row.synced_at),
        "created": time_text(row.created_at),
    }
