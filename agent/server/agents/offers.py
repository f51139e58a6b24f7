"""Offers on their way to an agent: by the server that holds its connection, whoever has offered."""

import logging
from collections.abc import Mapping, Sequence

from agent.clock import Clock
from agent.errors import AgentError, NotFoundError, RefusedError
from agent.server.agents.assignment import Assignments
from agent.server.agents.hub import Hub
from agent.server.agents.leases import Leases, Offer
from agent.server.agents.peers import Peers
from agent.server.agents.scheduler import ReadyAgent
from agent.server.events.changes import Changes
from agent.server.runs.runs import Runs
from agent.server.runs.sources import list_brought
from agent.server.store import artifacts, event_parts, jobs
from agent.server.store import leases as lease_store
from agent.server.store.database import Connection
from agent.server.store.failures import DATABASE_ERRORS, UnavailableError, translate_failures
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion, FailureKind, JobResult
from agent.wire import messages as m

log = logging.getLogger("agent.server.agents.dispatch")


class Offers:
    """Brings offers to the agents that are connected here."""

    def __init__(
        self,
        changes: Changes,
        hub: Hub,
        peers: Peers,
        *,
        leases: Leases,
        runs: Runs,
        assignments: Assignments,
    ) -> None:
        self._changes = changes
        self._clock: Clock = changes.clock
        self._hub = hub
        self._peers = peers
        self._leases = leases
        self._runs = runs
        self._assignments = assignments

    async def deliver(self, offers: Sequence[Offer]) -> None:
        """Send the jobs with their secrets; what can't be handed out ends, what nobody is there for goes back."""
        for offer, made in await self._make(offers):
            try:
                await self._send(offer, made)
            except UnavailableError:
                raise
            except (
                Exception
            ):  # a bug that one job has met: the others are handed out; the offer ends by its deadline
                log.exception("job %s: its offer to %s could not be sent", offer.job, offer.agent)

    async def _send(self, offer: Offer, made: m.Assign | AgentError) -> None:
        if isinstance(made, AgentError):
            await self._give_up(offer, made)
            return
        await self._note_brought(made.spec)
        if self._hub.assign(offer.agent, made):
            log.info("job %s: given to %s under lease %d", offer.job, offer.agent, offer.lease)
        else:
            await self._leases.give_up(offer.job, offer.lease, offer.agent, "its agent went away")

    async def _note_brought(self, spec: JobSpec) -> None:
        """What was found for the job it may fetch: noted before it can ask."""
        brought = list_brought(spec)
        if brought:
            async with self._changes.begin() as change:
                for artifact in brought:
                    await artifacts.note_read(change.connection, artifact, spec.run, spec.job, change.now)

    async def _make(self, offers: Sequence[Offer]) -> list[tuple[Offer, m.Assign | AgentError]]:
        """What is to be sent, or why it can't be made."""
        if not offers:
            return []
        async with self._changes.database.read() as connection:
            ready = (*self._hub.ready_agents(), *await self._peers.ready_elsewhere(connection))
            known = {agent.id: agent for agent in ready}
            return [(offer, await self._make_one(connection, offer, known)) for offer in offers]

    async def _make_one(
        self, connection: Connection, offer: Offer, ready: Mapping[str, ReadyAgent]
    ) -> m.Assign | AgentError:
        """The message, or why this one job can't be handed out; what the database raises is of no job."""
        try:
            with translate_failures(f"job {offer.job}"):
                return await self._assignments.make(connection, offer, ready, self._clock.now())
        except (UnavailableError, RefusedError, *DATABASE_ERRORS):
            raise
        except AgentError as error:
            return error
        except Exception as error:  # values that nobody has thought of end their job, and no other's turn
            log.exception("job %s: it can't be handed out", offer.job)
            return AgentError(f"the job can't be handed out: {type(error).__name__}: {str(error)[:200]}")

    async def deliver_to(self, agent: str) -> None:
        """Send what another server has offered to an agent that is connected here."""
        async with self._changes.database.read() as connection:
            offered = await lease_store.list_offered(connection, agent)
        await self.deliver(
            [
                Offer(job, number, agent, gpus)
                for job, number, gpus in offered
                if not self._hub.has_assigned(agent, job, number)
            ]
        )

    async def load_event_part(self, job: str, place: int) -> bytes:
        """A part of the long event of the job's run, as it is stored; empty when it is not there."""
        async with self._changes.database.read() as connection:
            row = await jobs.find_job(connection, job)
            return (await event_parts.find_part(connection, row.run, place) if row else None) or b""

    async def _give_up(self, offer: Offer, error: AgentError) -> None:
        """It would not go better the next time."""
        is_of_flow = isinstance(error, NotFoundError)  # what the job is brought is not there
        kind = FailureKind.USER if is_of_flow else FailureKind.INFRASTRUCTURE
        result = JobResult(Conclusion.FAILURE, failure_kind=kind, message=str(error))
        async with self._changes.begin() as change:
            await self._runs.finish_job(change, offer.job, result)
        await self._leases.give_up(offer.job, offer.lease, offer.agent, error.what)
