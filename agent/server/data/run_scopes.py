"""The scopes of a run's caches, from the rows."""

from agent.server.data.cache_scopes import Scopes, scopes_of
from agent.server.store import deliveries, repositories, run_branches
from agent.server.store.database import Connection
from agent.server.store.runs import RunRow


async def find_scopes(connection: Connection, run: RunRow) -> Scopes:
    """The scopes of the run's jobs: by what the server has found of it, and nothing that its caller says."""
    origin = await deliveries.find_origin(connection, run.id)
    known = await repositories.list_repositories(connection, run.project)
    trunks = [f"refs/heads/{repository.default_branch}" for repository in known]
    own: str | None = f"user/{run.actor}" if origin is None else f"flow/{run.file}"
    if origin is not None and not origin.is_trusted:
        own = None
    return scopes_of(await run_branches.find_branch(connection, run.id), trunks, otherwise=own)
