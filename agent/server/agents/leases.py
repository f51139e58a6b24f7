"""Leases: offered, accepted, refused, resumed, taken back, lost. Each is one transaction.

`agent.wire.lease` says what may follow what. A lease that ended before its job began puts the job back into the queue,
where it is given out under the next number; one that ended later ends the job as `lost`, unless the last word of its
journal is stored: then that counts.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from agent.errors import DamagedError, StaleLeaseError
from agent.ids import JobId
from agent.plan import JobStarted, cancelled
from agent.server.agents.job_records import JobRecords
from agent.server.agents.scheduler import Interruption, Pick, Seat
from agent.server.events.changes import Change, Changes
from agent.server.events.live import agent_topic
from agent.server.runs import gangs
from agent.server.runs.forms import say_answered
from agent.server.runs.platform_events import PlatformEvent, emit, tell_of_run
from agent.server.runs.runs import Runs
from agent.server.store import agents, fleet, forms, jobs, leases, runs
from agent.server.store import gangs as gang_store
from agent.server.store.database import Connection
from agent.server.store.forms import FormRow
from agent.server.store.jobs import JobRow
from agent.server.store.queue import ReturningRow
from agent.server.store.text import without_nul
from agent.spec.outcome import Conclusion, FailureKind, JobResult
from agent.spec.status import JobStatus
from agent.wire import lease as lease_rules
from agent.wire.lease import Lease, LeaseEvent, LeaseState, LeaseTerms
from agent.wire.lease_watch import LeaseWatch

MOST_FRUITLESS = 10  # offers of one job that come to nothing (`leases.count_fruitless`)

_LOOK_SECONDS = 1.0  # the rows of all leases are not read more often, unless one of them may be over


@dataclass(frozen=True, slots=True)
class Offer:
    """A job, or a node of a gang, that is an agent's to accept."""

    job: str
    lease: int
    agent: str
    gpus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LeaseNews:
    """What the holder of an agent's connection has to know: the number of the agent's newest one (None: it was
    removed), which leases have ended otherwise than well, and why, and the answers that jobs may not have heard.
    """

    epoch: int | None
    over: Mapping[tuple[str, int], str]
    answered: Sequence[FormRow] = ()


class Leases:
    """The leases of all jobs."""

    def __init__(self, changes: Changes, runs: Runs, job_records: JobRecords, terms: LeaseTerms) -> None:
        self.terms = terms
        self._watch = LeaseWatch(terms)
        self._changes = changes
        self._job_records = job_records
        self._runs = runs

    async def offer(
        self, picks: Sequence[Pick], runs_of: Mapping[str, int], here: Collection[str]
    ) -> list[Offer]:
        """Give queued jobs to agents, in one transaction; those that are no longer queued are passed over.

        So are for now those whose run somebody else is changing, unless that is so of all: who holds runs waits for
        none. `runs_of` says which run each of the jobs belongs to, `here` which agents are connected to this server: the
        others' servers are woken.
        """
        async with self._changes.begin() as change:
            wanted = sorted(set(runs_of.values()))
            free = {run for run in wanted if await change.try_lock_run(run)}
            if not free:
                await change.lock_run(wanted[0])
                free.add(wanted[0])
            if len(free) < len(wanted):
                change.wake_queue()
            ours = [pick for pick in picks if runs_of[pick.job] in free]
            offers = [offer for pick in ours for offer in await self._offer(change, pick)]
            for agent in {offer.agent for offer in offers}.difference(here):
                change.wake(agent_topic(agent))
            return offers

    async def _offer(self, change: Change, pick: Pick) -> list[Offer]:
        """All seats of a gang, or none: the first one's row says whether the job is still there to be given."""
        first = await self._claim(change, pick.job, pick.seats[0])
        if first is None or len(pick.seats) == 1:
            return [first] if first else []
        try:
            nodes = await gangs.list_ids(change, pick.job, len(pick.seats))
        except DamagedError as error:  # this job's own trouble: the other picks are offered
            await self._runs.finish_job(change, pick.job, _failed(f"the job can't be handed out: {error}"))
            await leases.end_now(change.connection, first.job, first.lease)
            return []
        others = [
            await self._claim(change, node, seat)
            for node, seat in zip(nodes[1:], pick.seats[1:], strict=True)
        ]
        return [first, *(offer for offer in others if offer is not None)]

    async def _claim(self, change: Change, job: str, seat: Seat) -> Offer | None:
        row = await jobs.assign_job(change.connection, job, seat.agent, change.now, seat.gpus)
        if row is None:
            return None
        offered = lease_rules.offer(job, row.lease, seat.agent, now=change.now, terms=self.terms)
        await leases.add_lease(change.connection, offered, change.now)
        self._watch.note(offered, self._changes.clock.monotonic())
        await change.tell_job(row)
        return Offer(job, row.lease, seat.agent, seat.gpus)

    async def give_room(self, picks: Sequence[Pick], rows: Sequence[ReturningRow]) -> None:
        """Let jobs that have given their room back have it again: their agents are told the answer that they wait for.

        Those whose run somebody else is changing have their turn in the next round.
        """
        wanting = {row.id: row for row in rows}
        async with self._changes.begin() as change:
            for pick in picks:
                row, seat = wanting[pick.job], pick.seats[0]
                if not await change.try_lock_run(row.run):
                    change.wake_queue()
                    continue
                by = await forms.find_answerer(change.connection, row.id, row.lease)
                taken = await jobs.take_room(
                    change.connection, row.id, row.lease, seat.gpus, say_answered(by)
                )
                if taken is not None:
                    await change.tell_job(taken)
                    change.wake(agent_topic(row.agent))

    async def interrupt(self, interruptions: Sequence[Interruption]) -> None:
        """Have running jobs make place for others. Those whose run somebody else is changing have their turn in the next round."""
        async with self._changes.begin() as change:
            for each in interruptions:
                row = await jobs.find_job(change.connection, each.job)
                if row is None or not await change.try_lock_run(row.run):
                    continue
                if asked := await jobs.request_interruption(change.connection, each.job, each.reason):
                    await change.tell_job(asked)
            change.wake_queue()  # its next round tells their agents

    async def accept(self, job: str, number: int, agent: str) -> None:
        """The job folder is on the agent's disk. Raises StaleLeaseError. Only now may the job begin."""
        async with self._changes.begin() as change:
            row = await change.lock_job(job)
            await self._move(change, job, number, agent, LeaseEvent.ACCEPT)
            await self._start(change, row, number)
            if row is not None and row.cancel_reason is not None:
                change.wake_queue()  # the dispatcher has kept that back until the job has begun

    async def resume(self, job: str, number: int, agent: str) -> LeaseState:
        """The agent says after a reconnect that it holds the job: where the lease stands.

        ACCEPTED: it goes on. RELEASED: all of it is here already. REVOKED: it is not the agent's any more. Raises StaleLeaseError for every other.
        """
        async with self._changes.begin() as change:
            row = await change.lock_job(job)
            state = await self._move(change, job, number, agent, LeaseEvent.HEARD)
            if state is LeaseState.ACCEPTED and _is_forming(row):
                reason = "an agent was away while the machines of the job were brought together"
                await self._end(change, job, number, agent, LeaseEvent.REVOKE, reason)
                return LeaseState.REVOKED
            if state is LeaseState.ACCEPTED:
                await self._start(change, row, number)
            return state

    async def refuse(self, job: str, number: int, agent: str, reason: str) -> None:
        """The agent will not run the job: back to the queue with it. Raises StaleLeaseError."""
        async with self._changes.begin() as change:
            await change.lock_job(job)
            await self._move(change, job, number, agent, LeaseEvent.REFUSE, reason)
            await self._take_back(change, job, number, reason)

    async def give_up(self, job: str, number: int, agent: str, reason: str, epoch: int | None = None) -> None:
        """The agent holds the job no longer, or not as it should: back to the queue, or lost.

        Said of its connection with the number `epoch`, it counts only while there is no newer one.
        """
        async with self._changes.begin() as change:
            await change.lock_job(job)
            if epoch is not None and await fleet.find_connection(change.connection, agent) != epoch:
                return
            await self._end(change, job, number, agent, LeaseEvent.REVOKE, reason)

    async def forsake(
        self, agent: str, holding: set[tuple[str, int]], reason: str, epoch: int | None = None
    ) -> None:
        """What `agent` was given and does not hold (any more) ends: offers go back, begun jobs are lost.

        `epoch`: see `give_up`.
        """
        async with self._changes.database.read() as connection:
            active = await jobs.list_active(connection, agent)
        for row in active:
            if (row.id, row.lease) not in holding:
                await self.give_up(row.id, row.lease, agent, reason, epoch)

    async def read_news(self, agent: str, held: Collection[tuple[str, int]]) -> LeaseNews:
        """How the agent and the leases that are on its connection stand by the rows."""
        async with self._changes.database.read() as connection:
            number = await fleet.find_connection(connection, agent)
            ended = await leases.list_ended(connection, [job for job, _ in held])
            answered = await forms.list_answered(connection, [job for job, _ in held])
        over = {key: reason or "the lease is over" for key, reason in ended.items() if key in held}
        return LeaseNews(number, over, [form for form in answered if (form.job, form.lease) in held])

    async def expire(self) -> list[tuple[str, str, int]]:
        """End what is over: (agent, job, number) of each, for the word to the agent."""
        async with self._changes.database.read() as connection:
            due = await self._look(connection)
        return [(lease.agent, lease.job, lease.number) for lease in due if await self._expire(lease)]

    def seconds_until_due(self) -> float:
        """When `expire` may find that something is over of which nobody has said so."""
        return self._watch.next_due - self._changes.clock.monotonic()

    async def _look(self, connection: Connection) -> list[Lease]:
        """What is over. The rows of all leases are not read more often than is of use."""
        if self._changes.clock.monotonic() < min(self._watch.looked_at + _LOOK_SECONDS, self._watch.next_due):
            return await leases.list_over(connection)
        seen = await leases.list_open(connection)
        return self._watch.look(seen, self._changes.clock.monotonic())

    async def _expire(self, seen: Lease) -> bool:
        """End the lease, unless something was heard meanwhile, or somebody else is at its run: then later."""
        async with self._changes.begin() as change:
            row = await jobs.find_job(change.connection, seen.job)
            if row is None or not await change.try_lock_run(row.run):
                return False
            if await leases.find_lease(change.connection, seen.job, seen.number, seen.agent) != seen:
                return False
            reason = _describe_silence(seen, self.terms)
            return await self._end(change, seen.job, seen.number, seen.agent, LeaseEvent.EXPIRE, reason)

    async def note_waiting(self, job: str, number: int, agent: str, words: str) -> None:
        """The job that the agent has taken waits there, as `words` say; empty: it runs. Raises StaleLeaseError when it is not its."""
        async with self._changes.begin() as change:
            await leases.find_lease(change.connection, job, number, agent)
            row = await jobs.set_held(change.connection, job, number, without_nul(words))
            if row is not None:
                await change.tell_job(row)

    async def _move(
        self, change: Change, job: str, number: int, agent: str, event: LeaseEvent, reason: str = ""
    ) -> LeaseState:
        lease = await leases.find_lease(change.connection, job, number, agent)
        moved = lease_rules.advance(lease, event, now=change.now, terms=self.terms)
        await leases.save_lease(change.connection, moved, change.now, reason)
        return moved.state

    async def _start(self, change: Change, row: JobRow | None, number: int) -> None:
        """The job begins; a gang does when the last of its nodes is accepted."""
        if row is None:
            return
        if not _is_forming(row):
            await self._start_one(change, row.id, number)
            return
        nodes = await gang_store.list_nodes(change.connection, row.gang or row.id)
        if gangs.is_complete(nodes):
            for node in nodes:
                await self._start_one(change, node.job.id, node.job.lease)
            change.wake_queue()  # the dispatcher tells them to begin

    async def _start_one(self, change: Change, job: str, number: int) -> None:
        row = await jobs.start_job(change.connection, job, number, change.now)
        if row is None:
            return
        await self._runs.advance(change, row.run, JobStarted(JobId(job)))
        if await runs.mark_started(change.connection, row.run, change.now):
            await change.tell_run(row.run)
            await tell_of_run(change, row.run, "in_progress")
        await change.tell_job(row)

    async def _end(
        self, change: Change, job: str, number: int, agent: str, event: LeaseEvent, reason: str
    ) -> bool:
        """End a lease; False when it has ended otherwise: before, or by the last word that is stored of its journal."""
        row = await change.lock_job(job)
        change.wake(agent_topic(agent))
        before = (await leases.find_lease(change.connection, job, number, agent)).state
        is_forming = _is_forming(row)
        if before is LeaseState.ACCEPTED and await self._job_records.settle(change, job, number):
            return False
        try:
            await self._move(change, job, number, agent, event, reason)
        except StaleLeaseError:
            return False
        if before is LeaseState.OFFERED or is_forming:
            await self._take_back(change, job, number, reason)
        else:
            if event is LeaseEvent.EXPIRE:
                await _tell_of_agent(change, job, agent, reason)
            await self._runs.finish_job(change, job, await _lost(change, job, reason))
        return True

    async def _take_back(self, change: Change, job: str, number: int, reason: str) -> None:
        """Back to the queue; or to its end, when it was to be cancelled anyway, or has come back too often.

        A gang goes as a whole.
        """
        row = await change.lock_job(job)
        if row is not None and row.gang is not None:
            await self._take_back_others(change, row.gang, job)
        if row is not None and row.lease == number and row.cancel_reason is not None:
            await self._runs.finish_job(change, job, cancelled(row.cancel_reason))
        elif row is not None and row.lease == number and await self._is_hopeless(change, job):
            await self._runs.finish_job(change, job, _hopeless(reason))
        elif back := await jobs.requeue_job(change.connection, job, number):
            await change.tell_job(back)
        change.wake_queue()

    async def _is_hopeless(self, change: Change, job: str) -> bool:
        return await leases.count_fruitless(change.connection, job) >= MOST_FRUITLESS

    async def _take_back_others(self, change: Change, gang: str, job: str) -> None:
        """The other nodes of a gang that has lost one before it began. Their agents hear it from the dispatcher."""
        for node in await gang_store.list_nodes(change.connection, gang):
            row = node.job
            if row.id == job or row.status is not JobStatus.ASSIGNED or row.agent is None:
                continue
            reason = "another machine of the job could not be had"
            await self._move(change, row.id, row.lease, row.agent, LeaseEvent.REVOKE, reason)
            if row.cancel_reason is not None:
                await self._runs.finish_job(change, row.id, cancelled(row.cancel_reason))
            elif back := await jobs.requeue_job(change.connection, row.id, row.lease):
                await change.tell_job(back)


def _hopeless(reason: str) -> JobResult:
    return _failed(
        f"{MOST_FRUITLESS} times the job was offered and no agent could begin it; the last time: {reason}"
    )


def _failed(message: str) -> JobResult:
    return JobResult(Conclusion.FAILURE, failure_kind=FailureKind.INFRASTRUCTURE, message=message)


def _is_forming(row: JobRow | None) -> bool:
    """Whether this is a node of a gang that has not begun."""
    return row is not None and row.gang is not None and row.status is JobStatus.ASSIGNED


async def _tell_of_agent(change: Change, job: str, agent: str, reason: str) -> None:
    row = await jobs.find_job(change.connection, job)
    if row is not None:
        name = (await agents.names_of(change.connection, [agent])).get(agent, "")
        payload = {"agent": {"id": agent, "name": name}, "job": {"id": job, "key": row.key}, "reason": reason}
        await emit(change, PlatformEvent("agent_lost", payload, names=(name,), run=row.run))


async def _lost(change: Change, job: str, reason: str) -> JobResult:
    row = await jobs.find_job(change.connection, job)
    is_cancelled = row is not None and row.cancel_reason is not None
    conclusion = Conclusion.CANCELLED if is_cancelled else Conclusion.FAILURE
    return JobResult(
        conclusion, failure_kind=FailureKind.LOST, message=f"the job was given up as lost: {reason}"
    )


def _describe_silence(lease: Lease, terms: LeaseTerms) -> str:
    if lease.state is LeaseState.OFFERED:
        return f"its agent has not answered for {_duration(terms.offer_seconds)}"
    return f"its agent has not been heard of for {_duration(terms.grace_seconds)}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g} minutes" if seconds >= 60 else f"{seconds:g} seconds"
