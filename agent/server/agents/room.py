"""The room's parts: the machines, and the jobs that they hold."""

from dataclasses import dataclass

from agent.server.agents.administration import Administration
from agent.server.agents.agent_reading import AgentReading
from agent.server.agents.attach_permits import AttachPermits
from agent.server.agents.heartbeats import Heartbeats
from agent.server.agents.hub import Hub
from agent.server.agents.job_records import JobRecords
from agent.server.agents.leases import Leases
from agent.server.agents.offers import Offers
from agent.server.agents.peers import Peers
from agent.server.agents.registry import Registry
from agent.wire.server_side import ConnectionTerms


@dataclass(frozen=True, slots=True)
class AgentRoom:
    """`peers` are this installation's servers, each with a `hub` for the agents that are connected to it."""

    registry: Registry
    hub: Hub
    peers: Peers
    heartbeats: Heartbeats
    offers: Offers
    leases: Leases
    job_records: JobRecords
    terms: ConnectionTerms
    reading: AgentReading
    administration: Administration
    permits: AttachPermits
