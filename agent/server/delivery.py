"""What was offered to an agent on its way to it: by the server that holds its connection, whoever has offered it."""

import logging
from collections.abc import Sequence

from agent.clock import Clock
from agent.errors import AgentError
from agent.server.changes import Changes
from agent.server.fleet import Fleet
from agent.server.handout import Handout
from agent.server.hub import Hub
from agent.server.leases import Leases, Offer
from agent.server.runs import Runs
from agent.server.store import leases as lease_store
from agent.server.store.failures import UnavailableError
from agent.spec.outcome import Conclusion, FailureKind, JobResult
from agent.wire import messages as m

log = logging.getLogger("agent.server.dispatch")


class Delivery:
    """Brings offers to the agents that are connected here."""

    def __init__(
        self, changes: Changes, hub: Hub, fleet: Fleet, *, leases: Leases, runs: Runs, handout: Handout
    ) -> None:
        self._changes = changes
        self._clock: Clock = changes.clock
        self._hub = hub
        self._fleet = fleet
        self._leases = leases
        self._runs = runs
        self._handout = handout

    async def deliver(self, offers: Sequence[Offer]) -> None:
        """Send the jobs with their secrets; what can't be handed out ends, what nobody is there for goes back."""
        for offer, made in await self._make(offers):
            if isinstance(made, AgentError):
                await self._give_up(offer, made)
            elif self._hub.assign(offer.agent, made):
                log.info("job %s: given to %s under lease %d", offer.job, offer.agent, offer.lease)
            else:
                await self._leases.give_up(offer.job, offer.lease, offer.agent, "its agent went away")

    async def _make(self, offers: Sequence[Offer]) -> list[tuple[Offer, m.Assign | AgentError]]:
        """What is to be sent, or why it can't be made."""
        made: list[tuple[Offer, m.Assign | AgentError]] = []
        if not offers:
            return made
        async with self._changes.database.read() as connection:
            ready = (*self._hub.ready_agents(), *await self._fleet.ready_elsewhere(connection))
            addresses = {agent.id: agent.address for agent in ready}
            for offer in offers:
                try:
                    message = await self._handout.make(connection, offer, addresses, self._clock.now())
                except UnavailableError:
                    raise
                except AgentError as error:
                    made.append((offer, error))
                else:
                    made.append((offer, message))
        return made

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

    async def _give_up(self, offer: Offer, error: AgentError) -> None:
        """It would not go better the next time."""
        result = JobResult(Conclusion.FAILURE, failure_kind=FailureKind.INFRASTRUCTURE, message=str(error))
        async with self._changes.begin() as change:
            await self._runs.finish_job(change, offer.job, result)
        await self._leases.give_up(offer.job, offer.lease, offer.agent, error.what)
