"""Deployments: flows that are kept alive, the paths that they receive on, and the runs that do their work."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import (
    agents,
    deployment_paths,
    deployment_runs,
    deployments,
    jobs,
    projects,
    replicas,
    runs,
)
from agent.server.store.upsert import insert
from agent.spec.status import ACTIVE, RunStatus

MOST_LOG_BYTES = 256 << 20  # of a run that has no end: then another one goes on


@dataclass(frozen=True, slots=True)
class DeploymentRow:
    """A flow that is kept alive: `replicas` times; 0: it was undeployed, and ends."""

    id: int
    project: int
    name: str
    flow: str
    file: str
    text: str
    dialect: str | None
    called: str
    source: str
    lock: str | None
    labels: str
    replicas: int
    generation: int
    is_alone: int
    actor: str
    created_at: float
    changed_at: float
    due_at: float | None


@dataclass(frozen=True, slots=True)
class PathRow:
    """A path that a deployed flow receives on. `secret` and `token` may name secrets; empty: none is asked for."""

    project: int
    path: str
    flow: str
    methods: tuple[str, ...]
    secret: str
    token: str


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """A place in a deployment: how often its runs have failed in a row, and before when it is not started again."""

    number: int
    failures: int = 0
    due_at: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class ReplicaRun:
    """A run of a deployment, as it stands.

    `is_leaving`: it runs on an agent that takes no new jobs. `has_outgrown`: its log is as long as one may be.
    """

    run: int
    deployment: int
    name: str
    replica: int
    generation: int
    begun_at: float | None
    ended_at: float | None
    status: RunStatus
    conclusion: str | None
    cancel_reason: str | None
    is_leaving: bool
    has_outgrown: bool


_COLUMNS = [deployments.c[name] for name in DeploymentRow.__slots__]


async def find_deployment(
    connection: AsyncConnection, deployment: int, *, locks: bool = False
) -> DeploymentRow | None:
    """The deployment. `locks`: nobody else changes it until this transaction ends."""
    query = select(*_COLUMNS).where(deployments.c.id == deployment)
    row = (await connection.execute(query.with_for_update() if locks else query)).one_or_none()
    return None if row is None else DeploymentRow(*row)


async def find_by_name(connection: AsyncConnection, project: int, name: str) -> DeploymentRow | None:
    """The project's deployment of this name."""
    query = select(*_COLUMNS).where(deployments.c.project == project, deployments.c.name == name)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else DeploymentRow(*row)


async def find_by_flow(connection: AsyncConnection, project: int, flow: str) -> DeploymentRow | None:
    """The project's deployment of the flow of this name."""
    query = select(*_COLUMNS).where(deployments.c.project == project, deployments.c.flow == flow)
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else DeploymentRow(*row)


async def list_deployments(connection: AsyncConnection, project: int) -> list[DeploymentRow]:
    """The project's deployments by name."""
    query = select(*_COLUMNS).where(deployments.c.project == project).order_by(deployments.c.name)
    return [DeploymentRow(*row) for row in await connection.execute(query)]


async def add_deployment(connection: AsyncConnection, values: Mapping[str, object]) -> int:
    """A new deployment: its number."""
    statement = insert(connection, deployments).values(values).returning(deployments.c.id)
    return int((await connection.execute(statement)).scalar_one())


async def change_deployment(
    connection: AsyncConnection, deployment: int, values: Mapping[str, object]
) -> None:
    """Change a deployment."""
    await connection.execute(update(deployments).where(deployments.c.id == deployment).values(values))


async def remove_deployment(connection: AsyncConnection, deployment: int) -> None:
    """Forget a deployment, whose runs have ended."""
    await put_paths(connection, deployment, ())
    await forget_replicas(connection, deployment)
    await connection.execute(delete(deployments).where(deployments.c.id == deployment))


async def forget_replicas(connection: AsyncConnection, deployment: int) -> None:
    """No place of the deployment rests any more: something about it is new."""
    await connection.execute(delete(replicas).where(replicas.c.deployment == deployment))


async def put_paths(connection: AsyncConnection, deployment: int, paths: Sequence[PathRow]) -> None:
    """The deployment receives at these paths, and at no others."""
    await connection.execute(delete(deployment_paths).where(deployment_paths.c.deployment == deployment))
    rows = [
        {
            "project": row.project,
            "path": row.path,
            "deployment": deployment,
            "flow": row.flow,
            "methods": json.dumps(row.methods),
            "secret": row.secret,
            "token": row.token,
        }
        for row in paths
    ]
    if rows:
        await connection.execute(deployment_paths.insert(), rows)


async def find_taken(
    connection: AsyncConnection, project: int, paths: Collection[str], but: int
) -> list[tuple[str, str]]:
    """Which of the paths another deployment of the project has: (path, the deployment's name)."""
    table = deployment_paths
    query = (
        select(table.c.path, deployments.c.name)
        .join(deployments, deployments.c.id == table.c.deployment)
        .where(table.c.project == project, table.c.path.in_(list(paths)), table.c.deployment != but)
    )
    return [(row.path, row.name) for row in await connection.execute(query.order_by(table.c.path))]


async def list_paths(connection: AsyncConnection, project: int) -> dict[int, list[str]]:
    """Where the project's deployments receive, by deployment."""
    table = deployment_paths
    query = select(table.c.deployment, table.c.path).where(table.c.project == project)
    found: dict[int, list[str]] = {}
    for row in await connection.execute(query.order_by(table.c.path)):
        found.setdefault(row.deployment, []).append(row.path)
    return found


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


async def list_replicas(connection: AsyncConnection, deployment: int) -> list[ReplicaRow]:
    """How the deployment's places stand."""
    columns = [replicas.c[name] for name in ReplicaRow.__slots__]
    query = select(*columns).where(replicas.c.deployment == deployment).order_by(replicas.c.number)
    return [ReplicaRow(*row) for row in await connection.execute(query)]


async def save_replica(connection: AsyncConnection, deployment: int, row: ReplicaRow) -> None:
    """Store how a place stands."""
    values = {"failures": row.failures, "due_at": row.due_at, "message": row.message}
    statement = insert(connection, replicas).values(deployment=deployment, number=row.number, **values)
    key = [replicas.c.deployment, replicas.c.number]
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values))


async def add_run(
    connection: AsyncConnection, row: DeploymentRow, replica: int, run: int, now: float
) -> None:
    """A run does the work of a place from now on."""
    await connection.execute(
        insert(connection, deployment_runs).values(
            run=run,
            deployment=row.id,
            name=row.name,
            replica=replica,
            generation=row.generation,
            started_at=now,
        )
    )


async def note_ended(connection: AsyncConnection, run: int, now: float) -> None:
    """What follows from the run's end is done."""
    own = (deployment_runs.c.run == run) & deployment_runs.c.ended_at.is_(None)
    await connection.execute(update(deployment_runs).where(own).values(ended_at=now))


def _leaving() -> ColumnElement[bool]:
    """Whether a job of the run is on an agent that takes no new jobs."""
    on_it = (agents.c.id == jobs.c.agent) & (jobs.c.run == runs.c.id) & jobs.c.status.in_(ACTIVE)
    is_draining = or_(agents.c.is_draining, agents.c.set_draining)
    return exists(select(jobs.c.id).where(on_it, is_draining))


def _outgrown() -> ColumnElement[bool]:
    """Whether a job of the run has said as much as the log of one job may hold."""
    has_said = (
        (jobs.c.run == runs.c.id) & jobs.c.status.in_(ACTIVE) & (jobs.c.journal_applied > MOST_LOG_BYTES)
    )
    return exists(select(jobs.c.id).where(has_said))


_RUN_COLUMNS: list[Any] = [
    deployment_runs.c.run,
    deployment_runs.c.deployment,
    deployment_runs.c.name,
    deployment_runs.c.replica,
    deployment_runs.c.generation,
    runs.c.started_at,
    runs.c.finished_at,
    runs.c.status,
    runs.c.conclusion,
    runs.c.cancel_reason,
    _leaving(),
    _outgrown(),
]


async def list_live_runs(connection: AsyncConnection, of: Collection[int]) -> list[ReplicaRun]:
    """The runs of these deployments from whose end nothing has followed yet."""
    query = (
        select(*_RUN_COLUMNS)
        .join(runs, runs.c.id == deployment_runs.c.run)
        .where(deployment_runs.c.deployment.in_(list(of)), deployment_runs.c.ended_at.is_(None))
        .order_by(deployment_runs.c.run)
    )
    return [ReplicaRun(*row) for row in await connection.execute(query)]


async def names_of(connection: AsyncConnection, of_runs: Collection[int]) -> dict[int, str]:
    """The names of the deployments whose work these runs do, by run."""
    query = select(deployment_runs.c.run, deployment_runs.c.name).where(
        deployment_runs.c.run.in_(list(of_runs))
    )
    return {row.run: row.name for row in await connection.execute(query)}


async def list_untended(connection: AsyncConnection, now: float) -> list[int]:
    """The deployments that somebody has to look at: their time has come, a run has ended, or its agent is leaving."""
    is_due = select(deployments.c.id).where(deployments.c.due_at <= now)
    has_news = (
        select(deployment_runs.c.deployment)
        .join(runs, runs.c.id == deployment_runs.c.run)
        .where(
            deployment_runs.c.ended_at.is_(None),
            or_(
                runs.c.status == RunStatus.COMPLETED,
                runs.c.cancel_reason.is_(None) & or_(_leaving(), _outgrown()),
            ),
        )
    )
    found = {row[0] for row in await connection.execute(is_due)}
    found |= {row[0] for row in await connection.execute(has_news)}
    return sorted(found)


async def next_due(connection: AsyncConnection) -> float | None:
    """When somebody has to look at one next."""
    due: float | None = (await connection.execute(select(func.min(deployments.c.due_at)))).scalar()
    return due


async def has_live_runs(connection: AsyncConnection) -> bool:
    """Whether any deployment has a run."""
    query = select(deployment_runs.c.run).where(deployment_runs.c.ended_at.is_(None)).limit(1)
    return (await connection.execute(query)).first() is not None
