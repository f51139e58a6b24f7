"""The project that a request is about: found in one place, before its handler runs."""

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request

from agent.server.people.auth.access import nothing_there
from agent.server.process.problems import MalformedError
from agent.server.store import artifacts, caches, deliveries, jobs, projects, repositories, runs, webhooks
from agent.server.store.database import Connection
from agent.server.store.projects import DEFAULT, ProjectRow

_LARGEST_ID = (1 << 63) - 1
Finder = Callable[[Connection, str], Awaitable[int | None]]


def _numbered(find: Callable[[Connection, int], Awaitable[int | None]]) -> Finder:
    async def found(connection: Connection, text: str) -> int | None:
        number = int(text)
        return await find(connection, number) if number <= _LARGEST_ID else None

    return found


async def _named(connection: Connection, name: str) -> int | None:
    project = await projects.find_by_name(connection, name)
    return None if project is None else project.id


# Path parameters that name a thing which belongs to a project, and how to find out which one.
OWNERS: Mapping[str, Finder] = {
    "project": _named,
    "run": _numbered(runs.project_of),
    "job": jobs.project_of,
    "artifact": _numbered(artifacts.project_of),
    "cache": _numbered(caches.project_of),
    "repository": repositories.project_of,
    "delivery": _numbered(deliveries.project_of),
    "webhook": webhooks.project_of,
}


async def find_project(connection: Connection, request: Request, job: str = "") -> ProjectRow:
    """The project that `request` is about; without a word of it the one of the `job` that asks, else `default`.

    Raises NotFoundError when it, or the thing in the path, does not exist, or when path, query and job are of
    different ones; MalformedError when the query names two.
    """
    found: set[int | None] = {await jobs.project_of(connection, job)} if job else set()
    for name, value in request.path_params.items():
        if name in OWNERS:
            found.add(await OWNERS[name](connection, str(value)))
    named = request.query_params.getlist("project")
    if len(named) > 1:
        raise MalformedError(f"'project' is there {len(named)} times")
    if named:
        found.add(await _named(connection, named[0]))
    (project, *others) = found or {DEFAULT}
    row = None if project is None or others else await projects.find_project(connection, project)
    if row is None:
        raise nothing_there(describe_asked(request))
    return row


def describe_asked(request: Request) -> str:
    """What the path, else the query, names: `run 99`, `project vision`."""
    named = [f"{name} {value}" for name, value in request.path_params.items() if name in OWNERS]
    named += [f"project {name}" for name in request.query_params.getlist("project")]
    return named[0] if named else "such thing"
