"""The branch or tag that a run is on, as far as the server has found it itself.

Whatever a permission rests on (secrets and environments of some branches, caches, the events of the platform) reads this,
and never the context `github`: that one is made of what the caller of the API says.
"""

from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.hot import Hot
from agent.server.store.schema import run_branches


@dataclass(frozen=True, slots=True)
class RunBranch:
    """A ref of a connected repository, with the commit that its mirror on this server has there."""

    repository: str  # its id
    ref: str  # in full: `refs/heads/main`, `refs/tags/v1`, `refs/pull/5/merge`
    commit: str
    base: str = ""  # the branch that a request is to be merged into, in full
    scope: str = ""  # where the run's caches are written; "": nowhere


_FIND = Hot(
    select(*(run_branches.c[name] for name in RunBranch.__slots__)).where(
        run_branches.c.run == bindparam("of_run")
    )
)


async def add_branch(connection: AsyncConnection, run: int, branch: RunBranch) -> None:
    """Note where a new run is; its re-runs are there too."""
    values = {name: getattr(branch, name) for name in RunBranch.__slots__}
    await connection.execute(insert(run_branches).values(run=run, **values))


async def find_branch(connection: AsyncConnection, run: int) -> RunBranch | None:
    """Where the run is; None: on no branch, whatever was said when it was started."""
    row = await _FIND.row(connection, of_run=run)
    return None if row is None else RunBranch(*row)
