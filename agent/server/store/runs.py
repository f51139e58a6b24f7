"""Runs: the flow as submitted, the planner's state, and how it stands."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from agent.flow.folders import name_files
from agent.server.store.hot import Hot
from agent.server.store.locks import lock_name
from agent.server.store.schema import events, run_attempts, runs
from agent.server.store.transitions import may_become
from agent.spec.status import RUNS, RunStatus


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run without its long texts."""

    id: int
    project: int
    number: int
    file: str
    title: str
    event: str
    actor: str
    source: str
    status: RunStatus
    conclusion: str | None
    cancel_reason: str | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    attempt: int
    run_name: str
    events_after: int


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """What driving the planner needs: the flow's text, and the state that it was left in."""

    file: str
    text: str
    dialect: str | None
    called: str  # JSON: reference -> text of a called flow
    state: str
    status: RunStatus
    project: int


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt of a run that was followed by another one."""

    attempt: int
    state: str
    conclusion: str | None
    cancel_reason: str | None
    started_at: float | None
    finished_at: float | None


_COLUMNS = [runs.c[name] for name in RunRow.__slots__]
_FIND = Hot(select(*_COLUMNS).where(runs.c.id == bindparam("wanted")))
_LOAD_PLAN = Hot(
    select(*(runs.c[name] for name in StoredPlan.__slots__)).where(runs.c.id == bindparam("wanted"))
)
_SAVE_PLAN = Hot(
    update(runs)
    .where(runs.c.id == bindparam("wanted"))
    .values(state=bindparam("new_state"), due_at=bindparam("new_due_at"))
)
_MARK_STARTED = Hot(
    update(runs)
    .where(runs.c.id == bindparam("wanted"), may_become(runs.c.status, RUNS, RunStatus.RUNNING))
    .values(status=RunStatus.RUNNING, started_at=bindparam("at"))
)


async def next_number(connection: AsyncConnection, project: int, file: str) -> int:
    """The number of the next run of the project's flow in `file`; numbers are not used twice."""
    await lock_name(connection, f"the next number of {file} in project {project}")
    query = select(func.max(runs.c.number)).where(runs.c.project == project, runs.c.file == file)
    return ((await connection.execute(query)).scalar() or 0) + 1


async def add_run(connection: AsyncConnection, **values: object) -> int:
    """Insert a run and return its id. `values` are columns; `state` may be filled in later (`save_plan`)."""
    statement = insert(runs).values(state="", status=RunStatus.QUEUED, **values).returning(runs.c.id)
    return int((await connection.execute(statement)).scalar_one())


async def save_plan(connection: AsyncConnection, run: int, state: str, due_at: float | None) -> None:
    """Store the planner's state, and when it wants to be woken."""
    await _SAVE_PLAN.count(connection, wanted=run, new_state=state, new_due_at=due_at)


async def name_run(connection: AsyncConnection, run: int, name: str) -> None:
    """Store what to show for the run."""
    await connection.execute(update(runs).where(runs.c.id == run).values(run_name=name))


async def list_due(connection: AsyncConnection, now: float) -> list[int]:
    """The runs that want to be woken, by their numbers."""
    query = select(runs.c.id).where(runs.c.due_at <= now).order_by(runs.c.id)
    return list((await connection.execute(query)).scalars())


async def next_due(connection: AsyncConnection) -> float | None:
    """When the next run wants to be woken."""
    due: float | None = (await connection.execute(select(func.min(runs.c.due_at)))).scalar()
    return due


async def archive_attempt(connection: AsyncConnection, run: int, actor: str) -> None:
    """Keep the attempt that has ended, and make the run ready for the next one, which `actor` asks for.

    Raises ImpossibleTransitionError for a run that has not ended.
    """
    names = ("attempt", "state", "conclusion", "cancel_reason", "started_at", "finished_at")
    columns = [runs.c[name] for name in names]
    row = (await connection.execute(select(runs.c.status, *columns).where(runs.c.id == run))).one()
    RUNS.check(row.status, RunStatus.QUEUED)
    ended = {name: getattr(row, name) for name in names}
    await connection.execute(insert(run_attempts).values(run=run, actor=actor, **ended))
    last = select(func.coalesce(func.max(events.c.id), 0)).where(events.c.run == run).scalar_subquery()
    await connection.execute(
        update(runs)
        .where(runs.c.id == run)
        .values(
            attempt=runs.c.attempt + 1,
            status=RunStatus.QUEUED,
            conclusion=None,
            cancel_reason=None,
            started_at=None,
            finished_at=None,
            events_after=last,
        )
    )


async def find_attempt(connection: AsyncConnection, run: int, attempt: int) -> AttemptRow | None:
    """An earlier attempt of the run."""
    columns = [run_attempts.c[name] for name in AttemptRow.__slots__]
    query = select(*columns).where(run_attempts.c.run == run, run_attempts.c.attempt == attempt)
    row = (await connection.execute(query)).mappings().one_or_none()
    return None if row is None else AttemptRow(**row)


async def mark_started(connection: AsyncConnection, run: int, now: float) -> bool:
    """The first of its jobs began; False when that was known already."""
    return await _MARK_STARTED.count(connection, wanted=run, at=now) == 1


async def mark_finished(connection: AsyncConnection, run: int, conclusion: str, now: float) -> None:
    """All jobs have ended."""
    await connection.execute(
        update(runs)
        .where(runs.c.id == run, may_become(runs.c.status, RUNS, RunStatus.COMPLETED))
        .values(status=RunStatus.COMPLETED, conclusion=conclusion, finished_at=now)
    )


async def mark_cancelled(connection: AsyncConnection, run: int, reason: str) -> None:
    """Somebody wants the run to end; its jobs end one by one."""
    await connection.execute(
        update(runs).where(runs.c.id == run, runs.c.cancel_reason.is_(None)).values(cancel_reason=reason)
    )


async def find_run(connection: AsyncConnection, run: int) -> RunRow | None:
    """The run with this id."""
    row = await _FIND.row(connection, wanted=run)
    return None if row is None else RunRow(*row)


async def list_sources(connection: AsyncConnection, project: int, word: str, most: int) -> list[str]:
    """The sources of the project's newest runs that have `word` in them."""
    is_wanted = (runs.c.project == project) & runs.c.source.contains(word, autoescape=True)
    query = select(runs.c.source).where(is_wanted).order_by(runs.c.id.desc()).limit(most)
    return list((await connection.execute(query)).scalars())


async def project_of(connection: AsyncConnection, run: int) -> int | None:
    """The project that the run belongs to."""
    query = select(runs.c.project).where(runs.c.id == run)
    return (await connection.execute(query)).scalar_one_or_none()


async def has_active(connection: AsyncConnection, project: int) -> bool:
    """Whether a run of the project is not over."""
    query = select(runs.c.id).where(runs.c.project == project, runs.c.status != RunStatus.COMPLETED).limit(1)
    return (await connection.execute(query)).first() is not None


async def load_plan(connection: AsyncConnection, run: int) -> StoredPlan | None:
    """The run's flow and the planner's state."""
    row = await _LOAD_PLAN.row(connection, wanted=run)
    return None if row is None else StoredPlan(*row)


async def list_runs(
    connection: AsyncConnection, project: int, *, limit: int, before: int | None, status: RunStatus | None
) -> list[RunRow]:
    """The project's runs, newest first, with an id below `before`."""
    query = select(*_COLUMNS).where(runs.c.project == project).order_by(runs.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(runs.c.id < before)
    if status is not None:
        query = query.where(runs.c.status == status)
    return [_run(row) for row in (await connection.execute(query)).mappings()]


def _run(row: RowMapping) -> RunRow:
    return RunRow(**row)


async def find_state(connection: AsyncConnection, project: int, flow: str) -> str | None:
    """How the newest run of a flow stands: its conclusion, else its status. None: it never ran.

    The flow is named by its file, or by the file's name without folder and ending.
    """
    query = (
        select(runs.c.conclusion, runs.c.status)
        .where(runs.c.project == project, runs.c.file.in_(name_files(flow)))
        .order_by(runs.c.id.desc())
        .limit(1)
    )
    row = (await connection.execute(query)).one_or_none()
    return None if row is None else row.conclusion or row.status


async def list_newest(connection: AsyncConnection, projects: Sequence[int], limit: int) -> list[RunRow]:
    """The newest runs of some projects."""
    query = select(*_COLUMNS).where(runs.c.project.in_(projects)).order_by(runs.c.id.desc()).limit(limit)
    return [_run(row) for row in (await connection.execute(query)).mappings()]
