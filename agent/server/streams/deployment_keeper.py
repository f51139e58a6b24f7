"""The keeper of deployments: has each have its runs, for as long as it is wanted. Each server has one; there is no leader.

`upkeep` says what is to be done. It is done under the lock of the deployment's row, in one transaction with what it follows
from, so that two servers never do the same, and what a server that died had begun is as if it had not. Runs are asked to end
behind that: who asks twice does no harm.
"""

import json
import logging
import secrets
from dataclasses import replace

from agent import codec
from agent.errors import AgentError, NotFoundError
from agent.ids import ENTROPY_BYTES, make_id
from agent.plan.request import RunRequest
from agent.resolve.lock import parse_lock
from agent.server.events.changes import Change, Changes
from agent.server.events.live import DEPLOYMENTS, Bus
from agent.server.process.problems import ConflictError
from agent.server.runs.runs import Runs, Submission
from agent.server.store import deployments, projects
from agent.server.store.deliveries import OriginRow
from agent.server.store.deployments import DeploymentRow, ReplicaRow
from agent.server.store.failures import UnavailableError
from agent.server.store.outage import Outage
from agent.server.streams.upkeep import LONGEST_REST_SECONDS, CancelRun, plan_upkeep
from agent.spec.job import Source

log = logging.getLogger("agent.server.streams")

_LOOK_SECONDS = 5.0  # while there are runs: an agent may take no new jobs any more
_LONGEST_SLEEP_SECONDS = 30.0
_SHORTEST_SLEEP_SECONDS = 0.05


class DeploymentKeeper:
    """Keeps deployments alive."""

    def __init__(self, changes: Changes, bus: Bus, runs: Runs) -> None:
        self._changes = changes
        self._bus = bus
        self._runs = runs

    async def run(self) -> None:
        """Work until cancelled."""
        outage = Outage(log, "the deployments")
        with self._bus.listen(DEPLOYMENTS) as listener:
            while True:
                with outage:
                    await self.work()
                    outage.seconds = await self._until()
                await listener.wait(outage.seconds)

    async def work(self) -> None:
        """Do what is to be done now. A deployment that we stumble over hurts no other."""
        async with self._changes.database.read() as connection:
            untended = await deployments.list_untended(connection, self._changes.clock.now())
        for deployment in untended:
            try:
                for cancel in await self._tend(deployment):
                    await self._cancel(cancel)
            except UnavailableError:
                raise
            except Exception:  # it is looked at again; the others go on
                log.exception("deployment %d could not be looked after", deployment)
                await self._put_off(deployment)

    async def _until(self) -> float:
        async with self._changes.database.read() as connection:
            due = await deployments.next_due(connection)
            longest = _LOOK_SECONDS if await deployments.has_live_runs(connection) else _LONGEST_SLEEP_SECONDS
        if due is None:
            return longest
        return min(max(due - self._changes.clock.now(), _SHORTEST_SLEEP_SECONDS), longest)

    async def _tend(self, deployment: int) -> tuple[CancelRun, ...]:
        async with self._changes.begin() as change:
            row = await deployments.find_deployment(change.connection, deployment, locks=True)
            if row is None:
                return ()
            project = await projects.find_project(change.connection, row.project)
            is_archived = project is None or project.archived_at is not None
            wanted = replace(row, replicas=0) if is_archived else row
            runs = await deployments.list_live_runs(change.connection, [row.id])
            places = await deployments.list_replicas(change.connection, row.id)
            plan = plan_upkeep(wanted, runs, places, change.now)
            for run in plan.ended:
                await deployments.note_ended(change.connection, run, change.now)
            for place in plan.places:
                await deployments.save_replica(change.connection, row.id, place)
            if plan.is_over and row.replicas == 0:
                await deployments.remove_deployment(change.connection, row.id)
                return ()
            due = [plan.due_at] if plan.due_at is not None else []
            for number in plan.starts:
                due += await self._start(change, row, number)
            if is_archived:
                due.append(change.now + LONGEST_REST_SECONDS)
            values = {"due_at": min(due, default=None)}
            await deployments.change_deployment(change.connection, row.id, values)
        return plan.cancels

    async def _start(self, change: Change, row: DeploymentRow, number: int) -> list[float]:
        """A run for a place; when to look at it again, where it can't be started now."""
        news, told = list(change.news), list(change.told)
        try:
            async with change.connection.begin_nested():
                started = await self._runs.start(change, _make_submission(row, number))
                await deployments.add_run(change.connection, row, number, started.run, change.now)
        except UnavailableError:
            raise
        except AgentError as error:
            change.news, change.told = news, told  # of what did not come to be
            due_at = change.now + LONGEST_REST_SECONDS
            place = ReplicaRow(number, 0, due_at, f"it can't be started: {error}")
            await deployments.save_replica(change.connection, row.id, place)
            return [due_at]
        return []

    async def _cancel(self, cancel: CancelRun) -> None:
        try:
            await self._runs.cancel(cancel.run, cancel.reason)
        except (ConflictError, NotFoundError):
            return  # it is over already

    async def _put_off(self, deployment: int) -> None:
        async with self._changes.begin() as change:
            values = {"due_at": change.now + _LONGEST_SLEEP_SECONDS}
            await deployments.change_deployment(change.connection, deployment, values)


def _make_submission(row: DeploymentRow, number: int) -> Submission:
    source = codec.parse(Source, row.source, where=f"deployment {row.id}")
    key = make_id("start", secrets.token_bytes(ENTROPY_BYTES))
    return Submission(
        row.file,
        row.text,
        row.dialect,
        RunRequest(
            source=source,
            actor=row.actor,
            pins=None if row.lock is None else parse_lock(row.lock).pins,
            is_by_itself=True,
            labels=tuple(json.loads(row.labels)),
        ),
        called=json.loads(row.called),
        project=row.project,
        origin=OriginRow(
            run=0,
            start=f"deployment/{row.id}/{row.generation}/{number}/{key}",
            delivery=None,
            repository=None,
            flow=row.flow,
            commit=source.commit,
            is_trusted=True,
            depth=0,
        ),
    )
