"""The gate before the code of runs: token -> job -> repository, and nothing else leads to one.

A job reads the repository that is its run's own. All others are, for it, not there: also those that are.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from agent.errors import NotFoundError
from agent.server.data.code.stores import CodeStores
from agent.server.people.auth.runtime import JobIdentity
from agent.server.pools import OverloadedError
from agent.server.store import jobs
from agent.server.store.database import Database
from agent.spec.conventions import find_repository
from agent.spec.job import JobSpec

_AT_ONCE: Final = 8  # requests that git works on
_WAIT_SECONDS: Final = 60.0


class CodeRepositories:
    """Repositories for the jobs of this server."""

    def __init__(self, database: Database, stores: CodeStores) -> None:
        self._database = database
        self._stores = stores
        self._free = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def open(self, job: JobIdentity, owner: str, name: str) -> AsyncIterator[Path]:
        """The repository on disk, for a git that works on it as long as the context lasts.

        Raises NotFoundError for every other than the job's own, OverloadedError when too many are read already.
        """
        async with self._database.read() as connection:
            spec = await jobs.load_spec(connection, job.job)
            project = await jobs.project_of(connection, job.job)
        if project is None or not _is_own(spec, f"{owner}/{name.removesuffix('.git')}"):
            raise NotFoundError(
                f"there is no repository {owner}/{name} for this job",
                hint="a job reads the code of its own run here; others are at the address of their own host",
            )
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise OverloadedError(
                "too many repositories are being read", hint="try again in a moment"
            ) from None
        try:
            async with self._stores.use(project, spec.source) as place:
                yield place
        finally:
            self._free.release()


def _is_own(spec: JobSpec, asked: str) -> bool:
    """Names are the same in capitals, as at GitHub."""
    return bool(spec.source.bundles) and find_repository(spec.contexts).lower() == asked.lower()
