"""Projects: what runs, secrets and rights belong to, and how each is set up."""

from dataclasses import dataclass
from typing import Annotated

import msgspec
from sqlalchemy import RowMapping, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.errors import UsageError
from agent.server.store.schema import projects

DEFAULT = 1  # the id of the project that is always there

_Count = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_Bytes = Annotated[int, msgspec.Meta(ge=0, le=1 << 60)]
_Days = Annotated[int, msgspec.Meta(ge=1, le=36_500)]
_Priority = Annotated[int, msgspec.Meta(ge=-100, le=100)]
_Weight = Annotated[float, msgspec.Meta(gt=0, le=1000)]


class ProjectSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a project is set up. None is no limit, or, for times, kept for ever."""

    description: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    weight: _Weight = 1.0  # its share of the agents beside the other projects'
    priority: _Priority = 0  # its jobs go before those of projects with less
    max_running_jobs: _Count | None = None
    max_queued_jobs: _Count | None = None
    max_gpus: _Count | None = None  # held by its jobs at a time
    max_artifact_bytes: _Bytes | None = None  # of all its artifacts together
    max_cache_bytes: _Bytes | None = 10 << 30  # of all its caches together; the least used go first
    max_snapshot_bytes: _Bytes | None = None  # of all its snapshots together
    max_log_bytes: _Bytes | None = None  # of all its archived logs together; the oldest go first
    max_queue_bytes: _Bytes | None = 1 << 30  # of all records that wait in queues of its flows together
    max_dead_letter_bytes: _Bytes | None = 10 << 30  # of all dead letters of its flows together
    max_dataset_bytes: _Bytes | None = None  # of all contents of its datasets, each counted once
    strict_secrets: bool = False  # a run that names a secret which nobody has set is refused
    serve_repositories: bool = (
        False  # jobs read its connected repositories here, and are handed no credentials of theirs
    )
    public_badges: bool = False  # whether anybody may see how its flows stand
    keep_runs_days: _Days | None = None
    keep_logs_days: _Days | None = None
    keep_artifacts_days: _Days | None = 90
    keep_caches_days: _Days | None = 7  # since the last use
    keep_deliveries_days: _Days | None = 30  # what started runs, or did not
    keep_records_days: _Days | None = (
        30  # of flows of stages: kept records, dead letters, what is left of flows
    )
    keep_datasets_days: _Days | None = None  # versions, since their commit or last use


@dataclass(frozen=True, slots=True)
class ProjectRow:
    """A project. `archived_at` set: it can be looked at, and nothing new happens in it."""

    id: int
    name: str
    created_at: float
    archived_at: float | None
    settings: ProjectSettings


async def add_project(
    connection: AsyncConnection, name: str, settings: ProjectSettings, now: float
) -> int | None:
    """A new project's id, or None when the name is taken."""
    text = msgspec.json.encode(settings).decode()
    statement = insert(projects).values(name=name, settings=text, created_at=now).returning(projects.c.id)
    try:
        async with connection.begin_nested():
            return int((await connection.execute(statement)).scalar_one())
    except IntegrityError:
        return None


async def find_project(connection: AsyncConnection, project: int) -> ProjectRow | None:
    """The project with this id."""
    query = select(projects).where(projects.c.id == project)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else _project(row)


async def find_by_name(connection: AsyncConnection, name: str) -> ProjectRow | None:
    """The project of this name."""
    query = select(projects).where(projects.c.name == name)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else _project(row)


async def list_projects(connection: AsyncConnection) -> list[ProjectRow]:
    """All projects by name."""
    query = select(projects).order_by(projects.c.name)
    return [_project(row) for row in (await connection.execute(query)).mappings()]


async def names(connection: AsyncConnection) -> dict[int, str]:
    """The name of each project by its id."""
    query = select(projects.c.id, projects.c.name)
    return {row.id: row.name for row in await connection.execute(query)}


async def save_settings(connection: AsyncConnection, project: int, settings: ProjectSettings) -> None:
    """Replace how a project is set up."""
    text = msgspec.json.encode(settings).decode()
    await connection.execute(update(projects).where(projects.c.id == project).values(settings=text))


async def mark_archived(connection: AsyncConnection, project: int, archived_at: float | None) -> None:
    """Archive a project, or (None) open it again."""
    await connection.execute(update(projects).where(projects.c.id == project).values(archived_at=archived_at))


def read_settings(given: object) -> ProjectSettings:
    """Settings from JSON data. Raises UsageError that names the field."""
    try:
        return msgspec.convert(given, ProjectSettings)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"the settings of the project are not valid: {error}",
            where="settings",
            hint=f"there are {', '.join(ProjectSettings.__struct_fields__)}",
        ) from None


def _project(row: RowMapping) -> ProjectRow:
    return ProjectRow(
        row["id"],
        row["name"],
        row["created_at"],
        row["archived_at"],
        msgspec.json.decode(row["settings"], type=ProjectSettings),
    )
