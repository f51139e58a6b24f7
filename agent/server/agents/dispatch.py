"""The dispatcher: one loop that brings the rows' wishes to the agents that are connected.

Woken by whatever changes the queue, and when a lease may be over, it

    1. ends the leases that are over,
    2. lets the gangs begin whose nodes are all there, and takes nodes back whose gang came to nothing,
    3. sends every cancel that an agent has not been sent on its present connection,
    4. gives jobs that go on after somebody's answer their room again,
    5. gives queued jobs to agents with room for them,
    6. writes down, once a second at most, why the others wait.

It holds no state that a restart would lose: what projects have used lately is counted again from the rows.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from agent.server.agents.hub import Hub
from agent.server.agents.leases import Leases
from agent.server.agents.offers import Offers
from agent.server.agents.peers import Peers
from agent.server.agents.scheduler import Pick, Usage, WaitingJob, choose
from agent.server.agents.scheduler.usage import Capacity
from agent.server.agents.scheduler_input import (
    make_returning,
    make_waiting,
    read_standing,
    read_usage,
    without_spent,
)
from agent.server.events.changes import Changes
from agent.server.events.live import QUEUE, Bus
from agent.server.runs.forms import say_answered
from agent.server.store import forms, gangs, jobs, queue
from agent.server.store import leases as lease_store
from agent.server.store.outage import Outage
from agent.server.store.queue import QueuedRow, ReturningRow
from agent.spec.status import JobStatus
from agent.wire.lease_watch import BLIND_SECONDS

log = logging.getLogger("agent.server.agents.dispatch")

_LONGEST_SLEEP_SECONDS = BLIND_SECONDS / 3
_SHORTEST_SLEEP_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 0.25
_EXPLAIN_SECONDS = 1.0
_REFUSAL_SECONDS = 60.0  # for so long a job is not offered again to an agent that refused it
_CHANGED_SECONDS = 2.0  # the same, where its machine had changed: for as long as the news of that may take
_MOST_EXPLAINED = 500  # in one transaction; the others' turn comes a second later


class Dispatcher:
    """Gives jobs to agents."""

    def __init__(
        self,
        changes: Changes,
        bus: Bus,
        hub: Hub,
        *,
        leases: Leases,
        peers: Peers,
        offers: Offers,
    ) -> None:
        self._changes = changes
        self._bus = bus
        self._hub = hub
        self._leases = leases
        self._peers = peers
        self._offers = offers
        self._usage: Usage | None = None
        self._explained_at = float("-inf")

    async def run(self) -> None:
        """Work until cancelled."""
        outage = Outage(log, "the queue's rounds")
        with self._bus.listen(QUEUE) as listener:
            while True:
                began = self._changes.clock.monotonic()
                with outage:
                    is_done = await self._work()
                    outage.seconds = self._until_next_look() if is_done else _EXPLAIN_SECONDS
                await self._pace(began)
                await listener.wait(outage.seconds)

    async def _pace(self, began: float) -> None:
        """After a round pause for as long as it took: what comes meanwhile is one round's work, not many.

        A server with little to do has short rounds, and so hardly waits; one with much spends half of its time on others.
        """
        await asyncio.sleep(min(self._changes.clock.monotonic() - began, _LONGEST_PAUSE_SECONDS))

    async def _work(self) -> bool:
        """One round; False when there is something left to explain."""
        for agent, job, number in await self._leases.expire():
            log.warning("job %s: lease %d of %s is over", job, number, agent)
            self._hub.revoke(agent, job, number, "the lease is over: nothing was heard in time")
        await self._begin_gangs()
        await self._send_cancels()
        async with self._peers.turn():
            return await self._give_out()

    def _until_next_look(self) -> float:
        return min(max(self._leases.seconds_until_due(), _SHORTEST_SLEEP_SECONDS), _LONGEST_SLEEP_SECONDS)

    async def _begin_gangs(self) -> None:
        forming = self._hub.forming()
        if not forming:
            return
        async with self._changes.database.read() as connection:
            rows = await gangs.list_of_jobs(connection, [job for job, _ in forming])
        standing = {job: (lease, status) for job, lease, status in rows}
        for (job, lease), agent in forming.items():
            current, status = standing.get(job, (0, ""))
            if current != lease or status in (JobStatus.QUEUED, JobStatus.COMPLETED):
                self._hub.revoke(agent, job, lease, "the job was taken back before it began")
            elif status is JobStatus.RUNNING:
                self._hub.begin(agent, job, lease)

    async def _send_cancels(self) -> None:
        async with self._changes.database.read() as connection:
            rows = await jobs.list_to_cancel(connection)
        for row in rows:
            if row.agent is not None and row.cancel_reason is not None:
                self._hub.cancel(row.agent, row.id, row.lease, row.cancel_reason)
            elif row.agent is not None and row.interrupt_reason is not None:
                self._hub.cancel(row.agent, row.id, row.lease, row.interrupt_reason, interrupts=True)

    async def _give_out(self) -> bool:
        now = self._changes.clock.now()
        async with self._changes.database.read() as connection:
            agents = [*self._hub.ready_agents(), *await self._peers.ready_elsewhere(connection)]
            capacity = Capacity.of(agents)
            standing = await read_standing(connection)
            refusals = await lease_store.list_refusals(
                connection, now - _REFUSAL_SECONDS, now - _CHANGED_SECONDS
            )
            one_time = [agent.id for agent in agents if agent.is_ephemeral]
            ready = without_spent(agents, await queue.spent_agents(connection, one_time))
            if self._usage is None and ready:
                self._usage = await read_usage(connection, now, capacity)
        if self._usage is not None:
            self._usage.advance(now, standing.holdings, capacity)
        waiting = make_waiting(standing.queued, refusals)
        choice = choose(
            waiting,
            ready,
            standing.holdings,
            returning=make_returning(standing.returning),
            projects=standing.projects,
            usage=self._usage,
            now=now,
        )
        if choice.returns:
            await self._leases.give_room(choice.returns, standing.returning)
        if choice.interruptions:
            await self._leases.interrupt(choice.interruptions)
        if choice.picks:
            self._count_starts(choice.picks, waiting, capacity)
            await self._assign(choice.picks, {row.id: row.run for row in standing.queued})
        is_told = await self._explain_returning(standing.returning, choice.waits)
        return await self._explain(standing.queued, choice.waits) and is_told

    def _count_starts(self, picks: Sequence[Pick], waiting: Sequence[WaitingJob], capacity: Capacity) -> None:
        if self._usage is not None:
            shapes = {job.id: job.shape for job in waiting}
            for pick in picks:
                shape = shapes[pick.job]
                for seat in pick.seats:
                    share = capacity.dominant_share(shape.request, len(seat.gpus))
                    self._usage.count_start(shape.project, share)

    async def _explain_returning(self, rows: Sequence[ReturningRow], waits: Mapping[str, str]) -> bool:
        """Note what jobs lack that are to go on; False when some run is busy."""
        news = [row for row in rows if row.id in waits and waits[row.id] not in row.waiting]
        if not news:
            return True
        async with self._changes.begin() as change:
            told = [row for row in news if await change.try_lock_run(row.run)]
            for row in told:
                by = await forms.find_answerer(change.connection, row.id, row.lease)
                words = say_answered(by, waits[row.id])
                if changed := await jobs.set_held(change.connection, row.id, row.lease, words):
                    await change.tell_job(changed)
        return len(told) == len(news)

    async def _explain(self, queued: Sequence[QueuedRow], waits: Mapping[str, str]) -> bool:
        """Note why jobs wait; False when some are left: it is too early, they are too many, or their runs are busy."""
        news = [row for row in queued if waits.get(row.id, row.waiting) != row.waiting]
        if not news:
            return True
        now = self._changes.clock.monotonic()
        if now - self._explained_at < _EXPLAIN_SECONDS:
            return False
        self._explained_at = now
        async with self._changes.begin() as change:
            told = [row for row in news[:_MOST_EXPLAINED] if await change.try_lock_run(row.run)]
            for row in told:
                if now_waiting := await jobs.set_waiting(change.connection, row.id, waits[row.id]):
                    await change.tell_job(now_waiting)
        return len(told) == len(news)

    async def _assign(self, picks: Sequence[Pick], runs: Mapping[str, int]) -> None:
        here = {agent.id for agent in self._hub.ready_agents()}
        offers = await self._leases.offer(picks, {pick.job: runs[pick.job] for pick in picks}, here)
        await self._offers.deliver([offer for offer in offers if offer.agent in here])
