"""Deployments, as people look at them."""

import json
from collections.abc import Mapping, Sequence

import msgspec

from agent.errors import NotFoundError
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.store import deployments, stream_queues
from agent.server.store.database import Connection, Database
from agent.server.store.deployments import DeploymentRow, ReplicaRow, ReplicaRun
from agent.server.store.stream_queues import QueueRow
from agent.spec.status import RunStatus


class ReplicaView(msgspec.Struct):
    """A place in a deployment. `state`: running, starting (its run waits for an agent), draining, resting."""

    number: int
    state: str
    run: int | None
    generation: int | None
    message: str
    due: Moment | None  # it is not started again before


class QueueView(msgspec.Struct):
    """A queue of the flow, and what is in it."""

    path: str
    records: int
    size_bytes: int


class DeploymentView(msgspec.Struct, kw_only=True):
    """A flow that is kept alive. `replicas` 0: it was undeployed, and ends when its runs have drained."""

    name: str
    flow: str
    file: str
    generation: int
    replicas: int
    labels: list[str]
    paths: list[str]  # below /streams/PROJECT
    places: list[ReplicaView]
    queues: list[QueueView]
    actor: str
    created: Moment | None
    changed: Moment | None


class DeploymentReading:
    """Reads deployments. Each call is one snapshot."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_of(self, project: int, page: Page) -> tuple[list[DeploymentView], str | None]:
        """The project's deployments by name."""
        async with self._database.read() as connection:
            found = await deployments.list_deployments(connection, project)
            rows, after = part(found, page, lambda row: row.name, str)
            return await _view_all(connection, project, rows), after

    async def load(self, project: int, name: str) -> DeploymentView:
        """One deployment. Raises NotFoundError."""
        async with self._database.read() as connection:
            row = await deployments.find_by_name(connection, project, name)
            if row is None:
                raise NotFoundError(
                    f"there is no deployment '{name[:80]}'", hint="`agent flow deployments` lists them"
                )
            (view,) = await _view_all(connection, project, [row])
        return view


async def _view_all(
    connection: Connection, project: int, rows: Sequence[DeploymentRow]
) -> list[DeploymentView]:
    live = await deployments.list_live_runs(connection, [row.id for row in rows])
    paths = await deployments.list_paths(connection, project)
    queues = await stream_queues.list_queues(connection, project)
    views = []
    for row in rows:
        known = {place.number: place for place in await deployments.list_replicas(connection, row.id)}
        runs = [run for run in live if run.deployment == row.id]
        own = [queue for queue in queues if queue.flow == row.flow]
        views.append(_view(row, runs, known, paths.get(row.id, []), own))
    return views


def _view(
    row: DeploymentRow,
    runs: Sequence[ReplicaRun],
    known: Mapping[int, ReplicaRow],
    paths: list[str],
    queues: Sequence[QueueRow],
) -> DeploymentView:
    views = [_view_run(run, row) for run in runs]
    at_work = {view.number for view in views if view.state != "draining"}
    for number in range(row.replicas):
        if number not in at_work:
            place = known.get(number, ReplicaRow(number))
            views.append(ReplicaView(number, "resting", None, None, place.message, time_text(place.due_at)))
    return DeploymentView(
        name=row.name,
        flow=row.flow,
        file=row.file,
        generation=row.generation,
        replicas=row.replicas,
        labels=json.loads(row.labels),
        paths=paths,
        places=sorted(views, key=lambda view: (view.number, view.run or 0)),
        queues=[QueueView(queue.path, queue.records, queue.size_bytes) for queue in queues],
        actor=row.actor,
        created=time_text(row.created_at),
        changed=time_text(row.changed_at),
    )


def _view_run(run: ReplicaRun, row: DeploymentRow) -> ReplicaView:
    is_leaving = run.cancel_reason is not None or run.generation != row.generation
    state = "draining" if is_leaving else "running" if run.status is RunStatus.RUNNING else "starting"
    return ReplicaView(run.replica, state, run.run, run.generation, run.cancel_reason or "", None)
