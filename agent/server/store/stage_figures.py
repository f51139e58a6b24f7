"""Figures of flows of stages: of each job as it said last, and of each stage in all jobs that there were."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.server.store.schema import deployments, jobs, projects, stage_figures, stage_totals
from agent.server.store.upsert import insert
from agent.spec.status import ACTIVE


@dataclass(frozen=True, slots=True)
class FigureRow:
    """What a job said last; `stages` is JSON."""

    job: str
    key: str
    lease: int
    stages: str
    at: float


@dataclass(frozen=True, slots=True)
class TotalRow:
    """A stage of a flow in all jobs; `figures` is JSON."""

    project: str
    flow: str
    stage: str
    figures: str


async def find_figures(connection: AsyncConnection, job: str, lease: int) -> str | None:
    """What the job said last under this lease."""
    query = select(stage_figures.c.stages).where(stage_figures.c.job == job, stage_figures.c.lease == lease)
    found: str | None = (await connection.execute(query)).scalar_one_or_none()
    return found


async def save_figures(connection: AsyncConnection, *, job: str, lease: int, stages: str, at: float) -> None:
    """What the job says now."""
    values = {"lease": lease, "stages": stages, "at": at}
    statement = insert(connection, stage_figures).values(job=job, **values)
    key = [stage_figures.c.job]
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values))


async def list_of_run(connection: AsyncConnection, run: int) -> list[FigureRow]:
    """What the run's jobs said last, in their order."""
    table = stage_figures
    columns: list[Any] = [table.c.job, jobs.c.key, table.c.lease, table.c.stages, table.c.at]
    query = (
        select(*columns)
        .join(jobs, jobs.c.id == stage_figures.c.job)
        .where(jobs.c.run == run)
        .order_by(jobs.c.place)
    )
    return [FigureRow(*row) for row in await connection.execute(query)]


async def load_totals(
    connection: AsyncConnection, project: int, flow: str, stages: Collection[str]
) -> dict[str, str]:
    """The totals of these stages of the flow, by stage."""
    table = stage_totals
    query = select(table.c.stage, table.c.figures).where(
        table.c.project == project, table.c.flow == flow, table.c.stage.in_(list(stages))
    )
    return {row.stage: row.figures for row in await connection.execute(query)}


async def save_totals(
    connection: AsyncConnection, project: int, flow: str, totals: Mapping[str, str], now: float
) -> None:
    """The totals of these stages of the flow from now on."""
    rows = [
        {"project": project, "flow": flow, "stage": stage, "figures": figures, "used_at": now}
        for stage, figures in totals.items()
    ]
    statement = insert(connection, stage_totals)
    key = [stage_totals.c.project, stage_totals.c.flow, stage_totals.c.stage]
    new = {name: statement.excluded[name] for name in ("figures", "used_at")}
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=new), rows)


async def list_totals(connection: AsyncConnection) -> Sequence[TotalRow]:
    """The totals of all stages."""
    table = stage_totals
    query = (
        select(projects.c.name, table.c.flow, table.c.stage, table.c.figures)
        .join(projects, projects.c.id == table.c.project)
        .order_by(projects.c.name, table.c.flow, table.c.stage)
    )
    return [TotalRow(*row) for row in await connection.execute(query)]


async def list_running(connection: AsyncConnection) -> list[tuple[int, str]]:
    """What the jobs that run said last: (project, JSON)."""
    query = (
        select(jobs.c.project, stage_figures.c.stages)
        .join(jobs, jobs.c.id == stage_figures.c.job)
        .where(jobs.c.status.in_(ACTIVE), jobs.c.lease == stage_figures.c.lease)
    )
    return [(row[0], row[1]) for row in await connection.execute(query)]


async def list_unused(connection: AsyncConnection, project: int, unused_since: float) -> Sequence[str]:
    """The flows that are not deployed and of which no stage has said anything since then."""
    table = stage_totals
    deployed = select(deployments.c.flow).where(deployments.c.project == project)
    recent = select(table.c.flow).where(table.c.project == project, table.c.used_at >= unused_since)
    query = (
        select(table.c.flow)
        .distinct()
        .where(table.c.project == project, table.c.flow.not_in(deployed), table.c.flow.not_in(recent))
    )
    return sorted((await connection.execute(query)).scalars())


async def forget_totals(connection: AsyncConnection, project: int, flow: str) -> None:
    """Forget a flow's totals."""
    table = stage_totals
    await connection.execute(delete(table).where(table.c.project == project, table.c.flow == flow))
