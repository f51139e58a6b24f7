"""The gate before the code that jobs read with git: token -> job -> repository, and nothing else leads to one.

| what is asked for | a job reads it |
| --- | --- |
| the repository of its own run, of a snapshot | always: exactly what came with the run |
| a submodule of a snapshot, beside its repository | always: what came with the run |
| the connected repository that its run is of | where the project's `serve_repositories` is set |
| another connected repository of the project | there, too, unless strangers' code runs |
| any other, of the host that the run's repository is on | what that shows to everybody, handed on (`public_code`) |

What lies here comes in whole copies, made with the project's credentials. No job ever has those, and no host is shown them for a
job, or the job's own token.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.errors import NotFoundError
from agent.flow.repository import split_repository
from agent.server.data.code.stores import CodeStores
from agent.server.people.auth.runtime import JobIdentity
from agent.server.pools import OverloadedError
from agent.server.store import deliveries, jobs, projects, repositories
from agent.server.store.database import Connection, Database
from agent.server.store.repositories import RepositoryRow
from agent.server.triggers.connected import Connected
from agent.server.triggers.public_code import PublicCode
from agent.spec.conventions import find_repository, find_server
from agent.spec.job import CodeBeside, JobSpec, SourceKind

_AT_ONCE: Final = 8  # requests that git works on
_WAIT_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class OpenedCode:
    """A repository on disk, for a job that may read it. `is_own`: the one that its run is of."""

    place: Path
    name: str
    default_branch: str
    spec: JobSpec
    is_own: bool


@dataclass(frozen=True, slots=True)
class CodeElsewhere:
    """A repository that does not lie here, for a job that may see what its host shows to everybody. `url`: `https://HOST/OWNER/NAME`."""

    url: str
    name: str
    job: str


class CodeServing:
    """Repositories for the jobs of this server. `public` hands on those that are not here."""

    def __init__(
        self, database: Database, stores: CodeStores, connected: Connected, public: PublicCode
    ) -> None:
        self.public = public
        self._database = database
        self._stores = stores
        self._connected = connected
        self._free = asyncio.Semaphore(_AT_ONCE)

    @asynccontextmanager
    async def open(
        self, job: JobIdentity, owner: str, name: str
    ) -> AsyncIterator[OpenedCode | CodeElsewhere]:
        """The repository on disk, for a git that works on it as long as the context lasts; or where else it is.

        Raises NotFoundError for one that the job may not read, OverloadedError when too many are read already, and what
        a host that does not answer leads to.
        """
        asked = f"{owner}/{name.removesuffix('.git')}".lower()
        async with self._database.read() as connection:
            spec = await jobs.load_spec(connection, job.job)
            project = await jobs.project_of(connection, job.job)
            is_own = find_repository(spec.contexts).lower() == asked  # the same in capitals, as at GitHub
            sent = _find_sent(spec, asked, is_own=is_own)
            row = None if sent else await _find_connected(connection, spec, project, asked, is_own=is_own)
        if project is None or not (sent or row):
            yield _look_elsewhere(job.job, spec, f"{owner}/{name.removesuffix('.git')}", is_own=is_own)
            return
        async with self._turn():
            if row is None:
                assert sent is not None
                async with self._stores.use(project, sent.bundles, sent.default_branch) as place:
                    yield OpenedCode(place, sent.name, sent.default_branch, spec, is_own)
            else:
                wanted = (spec.source.commit, spec.source.ref) if is_own else ("", "")
                place = await self._connected.find_whole(row, *wanted)
                yield OpenedCode(place, split_repository(row.url)[1], row.default_branch, spec, is_own)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise OverloadedError(
                "too many repositories are being read", hint="try again in a moment"
            ) from None
        try:
            yield
        finally:
            self._free.release()


def _find_sent(spec: JobSpec, asked: str, *, is_own: bool) -> CodeBeside | None:
    """What came with the run of that name: its own code, or a submodule beside it."""
    source = spec.source
    if is_own:
        name = find_repository(spec.contexts)
        return CodeBeside(name, source.bundles, source.default_branch) if source.bundles else None
    return next((one for one in source.beside if one.bundles and one.name.lower() == asked), None)


def _look_elsewhere(job: str, spec: JobSpec, name: str, *, is_own: bool) -> CodeElsewhere:
    """Where the host of the run's repository has that one. Raises NotFoundError where it has none that is meant."""
    server = find_server(spec.contexts)
    is_sent = (
        is_own and spec.source.kind is not SourceKind.GIT
    )  # what the host has is not what the run works on
    if is_sent or not server:
        raise NotFoundError(
            f"there is no repository {name} for this job",
            hint="its code did not come as a repository: use flow-agent/checkout@v1",
        )
    return CodeElsewhere(f"{server}/{name}", name, job)


async def _find_connected(
    connection: Connection, spec: JobSpec, project: int | None, asked: str, *, is_own: bool
) -> RepositoryRow | None:
    """The connected repository of that name which the job may read."""
    row = None if project is None else await projects.find_project(connection, project)
    if row is None or not row.settings.serve_repositories or (is_own and not spec.source.is_served):
        return None
    origin = await deliveries.find_origin(connection, spec.run)
    if not is_own and origin is not None and not origin.is_trusted:
        return None
    known = await repositories.list_repositories(connection, row.id)
    if is_own:
        return next(
            (one for one in known if split_repository(one.url) == split_repository(spec.source.url)), None
        )
    return next((one for one in known if split_repository(one.url)[1].lower() == asked), None)
