"""Apps of jobs as they are looked for: by name, or by the place that is in the host of their origin."""

from dataclasses import dataclass

from agent.errors import NotFoundError
from agent.server.store import jobs
from agent.server.store.apps import read_apps
from agent.server.store.database import Database


@dataclass(frozen=True, slots=True)
class KnownApp:
    """An app of a job. `opens` is the path, and query, that people are sent to; `port` 0: not picked yet."""

    job: str
    place: int
    name: str
    port: int
    opens: str
    run: int

    @property
    def key(self) -> str:
        """What names it for good."""
        return f"{self.job}/{self.place}"


class AppReading:
    """Finds apps. Each call is one snapshot, and raises NotFoundError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, job: str, *, name: str = "", place: int | None = None) -> KnownApp:
        """The app of that `name`, or at that `place`."""
        async with self._database.read() as connection:
            row = await jobs.find_job(connection, job)
            apps = () if row is None else read_apps(row.apps)
            found = [number for number, app in enumerate(apps) if app.name == name or number == place]
            if row is None or not found:
                raise NotFoundError("there is no such app")
            spec = await jobs.load_spec(connection, job)
        app = apps[found[0]]
        return KnownApp(job, found[0], app.name, app.port, spec.apps[found[0]].opens, row.run)
