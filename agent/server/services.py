"""The parts of one running server, put together once at its start."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.clock import Clock
from agent.ids import ENTROPY_BYTES, make_id
from agent.server.agents.administration import Administration
from agent.server.agents.agent_reading import AgentReading
from agent.server.agents.assignment import Assignments
from agent.server.agents.attach_permits import AttachPermits
from agent.server.agents.dispatch import Dispatcher
from agent.server.agents.heartbeats import Heartbeats
from agent.server.agents.hub import Hub
from agent.server.agents.job_records import JobRecords
from agent.server.agents.leases import Leases
from agent.server.agents.offers import Offers
from agent.server.agents.peers import Peers
from agent.server.agents.registry import Registry
from agent.server.agents.room import AgentRoom
from agent.server.data.archive.archiver import Archiver
from agent.server.data.artifacts import Artifacts
from agent.server.data.blobs.location import open_blobs
from agent.server.data.caches import Caches
from agent.server.data.dataset_changes import DatasetChanges
from agent.server.data.dataset_reading import DatasetReading
from agent.server.data.datasets import Datasets
from agent.server.data.job_logs import JobLogs
from agent.server.data.journals.files import FileJournals
from agent.server.data.journals.table import TableJournals
from agent.server.data.log_index import LogIndexes
from agent.server.data.retention import Retention
from agent.server.data.room import DataRoom
from agent.server.data.snapshots import Snapshots
from agent.server.data.tags import Tags
from agent.server.data.uploads import Uploads
from agent.server.events.changes import Changes
from agent.server.events.live import Bus, SharedBus
from agent.server.http.bodies import Bodies
from agent.server.http.room import HttpRoom
from agent.server.http.rooms import Rooms
from agent.server.people.audit_reading import AuditReading
from agent.server.people.auth.oidc import OidcClient
from agent.server.people.auth.rates import Rates
from agent.server.people.auth.runtime import RuntimeTokens
from agent.server.people.auth.sessions import Sessions
from agent.server.people.auth.signed_urls import SignedUrls
from agent.server.people.auth.throttle import Throttle
from agent.server.people.auth.tickets import Tickets
from agent.server.people.browser_sessions import BrowserSessions
from agent.server.people.job_secrets import JobSecrets
from agent.server.people.members import ProjectMembers
from agent.server.people.named_values import StoredSecrets, StoredVariables
from agent.server.people.personal_tokens import PersonalTokens
from agent.server.people.projects import Projects
from agent.server.people.registration_tokens import RegistrationTokens
from agent.server.people.room import PeopleRoom
from agent.server.people.sign_in import SignIn
from agent.server.people.users import Users
from agent.server.people.vault import Vault
from agent.server.pools import Pools, open_pools
from agent.server.process.data_folder import DataFolder
from agent.server.process.idempotency import Idempotency
from agent.server.process.metrics import Metrics
from agent.server.process.room import ProcessRoom
from agent.server.process.traces import Traces, open_traces
from agent.server.runs.approval_reading import ApprovalReading
from agent.server.runs.approvals import Approvals
from agent.server.runs.environments import Environments
from agent.server.runs.flow_cache import FlowCache
from agent.server.runs.groups import GroupKeeper
from agent.server.runs.job_reading import JobReading
from agent.server.runs.room import RunRoom
from agent.server.runs.run_events import RunEvents
from agent.server.runs.run_reading import RunReading
from agent.server.runs.runs import Runs
from agent.server.runs.timers import Timers
from agent.server.settings import ServerSettings
from agent.server.store.database import Database, open_database
from agent.server.telemetry import Telemetry
from agent.server.triggers.service import Triggers, make_triggers


@dataclass(frozen=True, slots=True)
class Services:
    """One server: the rooms that requests ask, and what goes on by itself."""

    settings: ServerSettings
    folder: DataFolder
    rooms: Rooms
    telemetry: Telemetry
    dispatcher: Dispatcher
    timers: Timers
    group_keeper: GroupKeeper
    archiver: Archiver


@asynccontextmanager
async def open_services(
    settings: ServerSettings, folder: DataFolder, clock: Clock
) -> AsyncIterator[Services]:
    """All parts over the data folder; the database is closed at the end."""
    pools = open_pools()
    database = await open_database(folder.database, pool_size=settings.database_pool, threads=pools.store)
    traces = open_traces()
    try:
        yield _assemble(settings, folder, clock, pools, database, traces)
    finally:
        await database.close()
        if traces is not None:
            await pools.outside.run(traces.close)
        pools.close()


def _assemble(
    settings: ServerSettings,
    folder: DataFolder,
    clock: Clock,
    pools: Pools,
    database: Database,
    traces: Traces | None,
) -> Services:
    process = make_id("process", secrets.token_bytes(ENTROPY_BYTES))
    bus = SharedBus(process) if database.is_shared else Bus()
    changes = Changes(database, bus, clock)
    metrics = Metrics(pools.figures)
    telemetry = Telemetry(database, metrics, traces)
    changes.on_told = telemetry.tell
    own = ProcessRoom(
        folder=folder,
        pools=pools,
        limits=settings.limits,
        metrics=metrics,
        idempotency=Idempotency(database, clock, folder.master_key, folder.signing_key),
        public_url=settings.public_url,
        scrapers=settings.metrics,
    )
    vault = Vault(folder.master_key)
    runs = Runs(changes, FlowCache(), vault, pools.plans)
    triggers = _make_triggers(settings, folder, pools, changes, bus, runs, vault)
    people = _make_people(settings, folder, clock, pools, changes, vault, triggers)
    log_indexes = LogIndexes()
    data = _make_data(settings, folder, clock, pools, database, changes, bus, log_indexes)
    agents = _make_agents(settings, process, changes, bus, runs, people, data, log_indexes, triggers)
    rooms = Rooms(
        clock=clock,
        database=database,
        changes=changes,
        bus=bus,
        process=own,
        people=people,
        runs=RunRoom(
            runs=runs,
            approvals=Approvals(changes, runs),
            environments=Environments(changes),
            reading=RunReading(database, runs, clock),
            jobs=JobReading(database),
            events=RunEvents(database),
            words=ApprovalReading(database, runs),
        ),
        data=data,
        triggers=triggers,
        agents=agents,
        http=HttpRoom(
            Bodies(settings.limits.bodies_bytes, settings.limits.bodies_of_client_bytes),
            Rates(clock, settings.limits.requests_per_second, settings.limits.requests_burst),
        ),
    )
    return Services(
        settings=settings,
        folder=folder,
        rooms=rooms,
        telemetry=telemetry,
        dispatcher=Dispatcher(
            changes, bus, agents.hub, leases=agents.leases, peers=agents.peers, offers=agents.offers
        ),
        timers=Timers(changes, bus, runs),
        group_keeper=GroupKeeper(changes, bus, runs),
        archiver=Archiver(changes, bus, data.journals, data.blobs),
    )


def _make_triggers(
    settings: ServerSettings,
    folder: DataFolder,
    pools: Pools,
    changes: Changes,
    bus: Bus,
    runs: Runs,
    vault: Vault,
) -> Triggers:
    return make_triggers(
        settings.triggers,
        pools=pools,
        changes=changes,
        bus=bus,
        runs=runs,
        vault=vault,
        mirrors=folder.root / "mirrors",
        public_url=lambda: settings.public_url or folder.read_address(),
    )


def _make_people(
    settings: ServerSettings,
    folder: DataFolder,
    clock: Clock,
    pools: Pools,
    changes: Changes,
    vault: Vault,
    triggers: Triggers,
) -> PeopleRoom:
    throttle, database = Throttle(clock, settings.limits.failures_per_minute), changes.database
    return PeopleRoom(
        users=Users(changes, pools.passwords),
        members=ProjectMembers(changes),
        projects=Projects(changes),
        personal_tokens=PersonalTokens(changes),
        registration_tokens=RegistrationTokens(changes),
        secrets=StoredSecrets(changes, vault),
        variables=StoredVariables(changes),
        audit=AuditReading(database),
        sign_in=SignIn(database, throttle, pools.passwords, clock),
        sessions=Sessions(folder.signing_key),
        browser_sessions=BrowserSessions(changes),
        oidc=None if settings.oidc is None else OidcClient(settings.oidc, clock, pools.outside),
        throttle=throttle,
        runtime_tokens=RuntimeTokens(folder.signing_key, folder.server_id),
        signed_urls=SignedUrls(folder.signing_key),
        tickets=Tickets(folder.signing_key, folder.server_id, clock),
        vault=vault,
        job_secrets=JobSecrets(database, vault, triggers.connected.find_job_token),
    )


def _make_data(
    settings: ServerSettings,
    folder: DataFolder,
    clock: Clock,
    pools: Pools,
    database: Database,
    changes: Changes,
    bus: Bus,
    log_indexes: LogIndexes,
) -> DataRoom:
    journals = (
        TableJournals(database, bus) if database.is_shared else FileJournals(folder.journals, pools.files)
    )
    blobs, limits = open_blobs(settings.blobs_url, folder.blobs, pools.files), settings.limits
    uploads, files = Uploads(changes, blobs, limits.artifact_bytes), Datasets(database, blobs, clock, limits)
    return DataRoom(
        blobs=blobs,
        journals=journals,
        logs=JobLogs(database, journals, blobs, log_indexes),
        uploads=uploads,
        artifacts=Artifacts(changes, blobs, uploads, limits.artifact_bytes),
        caches=Caches(changes, uploads),
        snapshots=Snapshots(changes, blobs, limits.snapshot_bytes),
        tags=Tags(changes),
        datasets=DatasetReading(database, files),
        dataset_changes=DatasetChanges(changes, files),
        retention=Retention(changes, journals, blobs),
    )


def _make_agents(
    settings: ServerSettings,
    process: str,
    changes: Changes,
    bus: Bus,
    runs: Runs,
    people: PeopleRoom,
    data: DataRoom,
    log_indexes: LogIndexes,
    triggers: Triggers,
) -> AgentRoom:
    job_records = JobRecords(changes, data.journals, runs, settings.lease_terms, log_indexes)
    leases = Leases(changes, runs, job_records, settings.lease_terms)
    peers = Peers(process, changes)
    hub = Hub(bus)
    assignments = Assignments(people.vault, people.runtime_tokens, triggers.connected.find_job_token)
    registry, heartbeats = Registry(changes), Heartbeats(changes, settings.lease_terms)
    return AgentRoom(
        registry=registry,
        hub=hub,
        peers=peers,
        heartbeats=heartbeats,
        offers=Offers(changes, hub, peers, leases=leases, runs=runs, assignments=assignments),
        leases=leases,
        job_records=job_records,
        terms=settings.connection_terms,
        reading=AgentReading(changes.database, peers, heartbeats),
        administration=Administration(changes.database, registry, hub, heartbeats, leases),
        permits=AttachPermits(changes.database, peers, is_allowed=settings.allow_attach),
    )
