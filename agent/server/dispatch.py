"""The dispatcher: one loop that brings the rows' wishes to the agents.

Woken by whatever changes the queue, and by the nearest deadline of a lease, it

    1. ends the leases that are over,
    2. sends every cancel that an agent has not been sent on its present connection,
    3. gives queued jobs to agents with a free slot, and writes down why the others wait.

It holds no state that a restart would lose.
"""

import json
import logging
from collections import Counter
from collections.abc import Mapping

from agent.errors import AgentError
from agent.plan.request import JOB_TOKEN
from agent.seal.identity import PublicIdentity
from agent.server.auth.runtime import JobIdentity, RuntimeTokens
from agent.server.changes import Changes
from agent.server.hub import Hub
from agent.server.leases import Leases
from agent.server.live import QUEUE, Bus
from agent.server.registry import Registry
from agent.server.runs import Runs
from agent.server.scheduler import ReadyAgent, WaitingJob, choose
from agent.server.store import agents, jobs
from agent.server.store import leases as lease_store
from agent.server.store.database import Connection
from agent.server.store.jobs import JobRow
from agent.server.vault import Vault
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion, FailureKind, JobResult

log = logging.getLogger("agent.server.dispatch")

RUNTIME_TOKEN_NAME = "ACTIONS_RUNTIME_TOKEN"  # noqa: S105 - a name
_LONGEST_SLEEP_SECONDS = 30.0
_SHORTEST_SLEEP_SECONDS = 0.05


class Dispatcher:
    """Gives jobs to agents."""

    def __init__(
        self,
        changes: Changes,
        bus: Bus,
        hub: Hub,
        *,
        leases: Leases,
        registry: Registry,
        runs: Runs,
        vault: Vault,
        runtime_tokens: RuntimeTokens,
    ) -> None:
        self._changes = changes
        self._bus = bus
        self._hub = hub
        self._leases = leases
        self._registry = registry
        self._runs = runs
        self._vault = vault
        self._runtime_tokens = runtime_tokens

    async def run(self) -> None:
        """Work until cancelled."""
        with self._bus.listen(QUEUE) as listener:
            while True:
                try:
                    await self._work()
                    sleep_seconds = await self._until_next_deadline()
                except Exception:  # one broken row must not stop the fleet: it is told, and tried again
                    log.exception("the dispatcher stumbled")
                    sleep_seconds = 1.0
                await listener.wait(sleep_seconds)

    async def _work(self) -> None:
        for agent, job, number in await self._leases.expire():
            log.warning("job %s: lease %d of %s is over by its deadline", job, number, agent)
            self._hub.revoke(agent, job, number, "the lease is over: nothing was heard in time")
        await self._send_cancels()
        await self._give_out()

    async def _until_next_deadline(self) -> float:
        async with self._changes.database.read() as connection:
            deadline = await lease_store.next_deadline(connection)
        if deadline is None:
            return _LONGEST_SLEEP_SECONDS
        seconds = deadline - self._changes.clock.now()
        return min(max(seconds, _SHORTEST_SLEEP_SECONDS), _LONGEST_SLEEP_SECONDS)

    async def _send_cancels(self) -> None:
        async with self._changes.database.read() as connection:
            rows = await jobs.list_to_cancel(connection)
        for row in rows:
            if row.agent is not None and row.cancel_reason is not None:
                self._hub.cancel(row.agent, row.id, row.lease, row.cancel_reason)

    async def _give_out(self) -> None:
        async with self._changes.database.read() as connection:
            queued = await jobs.list_queued(connection)
            held = Counter(row.agent or "" for row in await jobs.list_active(connection))
            ready = [
                agent for agent in self._hub.ready_agents() if not await _is_spent(connection, agent, held)
            ]
        waiting = [
            WaitingJob(
                row.id, tuple(json.loads(row.runs_on)), row.group_name, self._registry.refusals_of(row.id)
            )
            for row in queued
        ]
        choice = choose(waiting, ready, held)
        for job, agent in choice.picks:
            await self._assign(job, agent)
        await self._explain(queued, choice.waits)

    async def _explain(self, queued: list[JobRow], waits: Mapping[str, str]) -> None:
        news = [row for row in queued if waits.get(row.id, row.waiting) != row.waiting]
        if not news:
            return
        async with self._changes.begin() as change:
            for row in news:
                if await jobs.set_waiting(change.connection, row.id, waits[row.id]):
                    await change.tell_job(row.id)

    async def _assign(self, job: str, agent: str) -> None:
        number = await self._leases.offer(job, agent)
        if number is None:
            return
        try:
            spec, sealed = await self._prepare(job, number, agent)
            is_sent = self._hub.assign(agent, job, number, spec, sealed)
        except AgentError as error:
            result = JobResult(
                Conclusion.FAILURE, failure_kind=FailureKind.INFRASTRUCTURE, message=str(error)
            )
            async with self._changes.begin() as change:
                await self._runs.finish_job(change, job, result)
            await self._leases.give_up(job, number, agent, error.what)
            return
        if is_sent:
            log.info("job %s: given to %s under lease %d", job, agent, number)
        else:
            await self._leases.give_up(job, number, agent, "its agent went away")

    async def _prepare(self, job: str, number: int, agent: str) -> tuple[JobSpec, dict[str, bytes]]:
        """What the agent is sent: the specification, and its secrets, sealed to the agent for this lease."""
        async with self._changes.database.read() as connection:
            spec = await jobs.load_spec(connection, job)
            row = await agents.find_agent(connection, agent)
            if row is None:
                raise AgentError("the agent was removed")
            token = self._runtime_tokens.mint(
                JobIdentity(spec.run, job, number),
                ref=str(spec.contexts.github.get("ref", "")),
                lifetime_seconds=60 * (spec.timeout_minutes + spec.cancel_timeout_minutes),
                now=self._changes.clock.now(),
            )
            sealed = await self._vault.seal_for(
                connection,
                spec.secrets,
                own={RUNTIME_TOKEN_NAME: token, JOB_TOKEN: token},
                identity=PublicIdentity.from_json(json.loads(row.identity)),
                job=job,
                lease=number,
            )
        return spec, sealed


async def _is_spent(connection: Connection, agent: ReadyAgent, held: Mapping[str, int]) -> bool:
    """Whether an ephemeral agent has had its one job."""
    return (
        agent.is_ephemeral and not held.get(agent.id) and await jobs.count_ever_of(connection, agent.id) > 0
    )
