"""Jobs whose work is stages, as the server's stores for them know them: by project and by the flow's name."""

from collections import OrderedDict
from dataclasses import dataclass

from agent.errors import NotFoundError
from agent.server.people.auth.runtime import JobIdentity
from agent.server.store import jobs
from agent.server.store.database import Database
from agent.spec.stages import StageSpec, StagesWork, receive_path

_MOST_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class StageJob:
    """A running job whose work is stages. `project` and `flow` say whose bookmarks and queues are its own."""

    id: str
    lease: int
    run: int
    project: int
    flow: str
    stages: tuple[StageSpec, ...]

    @property
    def paths(self) -> frozenset[str]:
        """Where its triggers receive."""
        return frozenset(
            receive_path(str(stage.config.get("path", "")))
            for stage in self.stages
            if stage.action == "receive"
        )


class StageJobs:
    """Finds them. What a job is does not change, so it is read once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[tuple[str, int], StageJob] = OrderedDict()

    async def find(self, identity: JobIdentity) -> StageJob:
        """The job that asks. Raises NotFoundError for one whose work is something else."""
        key = (identity.job, identity.lease)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = await self._read(identity)
            if len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return found

    async def _read(self, identity: JobIdentity) -> StageJob:
        async with self._database.read() as connection:
            spec = await jobs.load_spec(connection, identity.job)
            project = await jobs.project_of(connection, identity.job)
        work = spec.work
        if not isinstance(work, StagesWork) or project is None:
            raise NotFoundError("this is for jobs whose work is stages, and the job's is not")
        return StageJob(identity.job, identity.lease, identity.run, project, work.flow, work.stages)
