"""The room's parts: the machines, and the jobs that they hold."""

from dataclasses import dataclass

from agent.server.agents.administration import Administration
from agent.server.agents.agent_reading import AgentReading
from agent.server.agents.app_reading import AppReading
from agent.server.agents.assignment import Assignments
from agent.server.agents.attach_permits import AttachPermits
from agent.server.agents.heartbeats import Heartbeats
from agent.server.agents.hub import Hub
from agent.server.agents.job_records import JobRecords
from agent.server.agents.leases import Leases
from agent.server.agents.offers import Offers
from agent.server.agents.peers import Peers
from agent.server.agents.registry import Registry
from agent.server.data.room import DataRoom
from agent.server.events.changes import Changes
from agent.server.events.live import Bus
from agent.server.people.job_secrets import FindJobToken
from agent.server.people.room import PeopleRoom
from agent.server.runs.runs import Runs
from agent.wire.lease import LeaseTerms
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
    apps: AppReading


def make_agent_room(
    process: str,
    changes: Changes,
    bus: Bus,
    runs: Runs,
    people: PeopleRoom,
    data: DataRoom,
    find_job_token: FindJobToken,
    *,
    lease_terms: LeaseTerms,
    connection_terms: ConnectionTerms,
    allow_attach: bool,
    allow_apps: bool,
) -> AgentRoom:
    """The room of the server process of that id; `allow_attach`, `allow_apps`: whether its operator lets people attach to
    jobs, and use their apps.
    """
    job_records = JobRecords(changes, data.journals, runs, lease_terms, data.log_indexes, data.charts)
    leases = Leases(changes, runs, job_records, lease_terms)
    peers, hub = Peers(process, changes), Hub(bus)
    assignments = Assignments(people.vault, people.runtime_tokens, people.app_tokens, find_job_token, runs)
    registry, heartbeats = Registry(changes), Heartbeats(changes, lease_terms)
    return AgentRoom(
        registry=registry,
        hub=hub,
        peers=peers,
        heartbeats=heartbeats,
        offers=Offers(changes, hub, peers, leases=leases, runs=runs, assignments=assignments),
        leases=leases,
        job_records=job_records,
        terms=connection_terms,
        reading=AgentReading(changes.database, peers, heartbeats),
        administration=Administration(changes.database, registry, hub, heartbeats, leases),
        permits=AttachPermits(changes.database, peers, allows_attach=allow_attach, allows_apps=allow_apps),
        apps=AppReading(changes.database),
    )
