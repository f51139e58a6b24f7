"""Deployments: flows that are kept alive, the paths that they receive on, and the runs that do their work."""

import json
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import deployment_paths, projects


@dataclass(frozen=True, slots=True)
class PathRow:
    """A path that a deployed flow receives on. `secret` and `token` may name secrets; empty: none is asked for."""

    project: int
    path: str
    flow: str
    methods: tuple[str, ...]
    secret: str
    token: str


async def find_path(connection: AsyncConnection, project: str, path: str) -> PathRow | None:
    """The path in the project of this name, if a flow is deployed there; of an archived one there is none."""
    table = deployment_paths
    columns = [table.c[name] for name in PathRow.__slots__]
    query = (
        select(*columns)
        .join(projects, projects.c.id == table.c.project)
        .where(projects.c.name == project, projects.c.archived_at.is_(None), table.c.path == path)
    )
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else PathRow(**{**row, "methods": tuple(json.loads(row["methods"]))})
