"""The parts of one running server, put together once at its start."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.clock import Clock
from agent.ids import ENTROPY_BYTES, make_id
from agent.server.approvals import Approvals
from agent.server.archive.archiver import Archiver
from agent.server.auth.oidc import OidcClient
from agent.server.auth.rates import Rates
from agent.server.auth.runtime import RuntimeTokens
from agent.server.auth.sessions import Sessions
from agent.server.auth.signed_urls import SignedUrls
from agent.server.auth.throttle import Throttle
from agent.server.auth.tickets import Tickets
from agent.server.blobs.location import open_blobs
from agent.server.blobs.store import BlobStore
from agent.server.bodies import Bodies
from agent.server.changes import Changes
from agent.server.data_folder import DataFolder
from agent.server.delivery import Delivery
from agent.server.dispatch import Dispatcher
from agent.server.fleet import Fleet
from agent.server.flows import FlowCache
from agent.server.groups import GroupKeeper
from agent.server.handout import Handout
from agent.server.hub import Hub
from agent.server.idempotency import Idempotency
from agent.server.job_logs import JobLogs
from agent.server.job_secrets import JobSecrets
from agent.server.journals import Journals
from agent.server.journals.files import FileJournals
from agent.server.journals.table import TableJournals
from agent.server.leases import Leases
from agent.server.ledger import Ledger
from agent.server.live import Bus, SharedBus
from agent.server.log_index import LogIndexes
from agent.server.metrics import Metrics
from agent.server.observer import Observer
from agent.server.pools import Pools, open_pools
from agent.server.pulse import Pulse
from agent.server.registry import Registry
from agent.server.retention import Retention
from agent.server.runs import Runs
from agent.server.settings import ServerSettings
from agent.server.store.database import Database, open_database
from agent.server.telemetry import Traces, open_traces
from agent.server.timers import Timers
from agent.server.triggers.service import Triggers, make_triggers
from agent.server.vault import Vault


@dataclass(frozen=True, slots=True)
class Services:
    """What requests and connections work with."""

    settings: ServerSettings
    folder: DataFolder
    clock: Clock
    pools: Pools
    database: Database
    bus: Bus
    changes: Changes
    flows: FlowCache
    runs: Runs
    leases: Leases
    fleet: Fleet
    registry: Registry
    pulse: Pulse
    vault: Vault
    job_secrets: JobSecrets
    journals: Journals
    logs: JobLogs
    archiver: Archiver
    retention: Retention
    ledger: Ledger
    hub: Hub
    delivery: Delivery
    dispatcher: Dispatcher
    approvals: Approvals
    timers: Timers
    group_keeper: GroupKeeper
    blobs: BlobStore
    runtime_tokens: RuntimeTokens
    signed_urls: SignedUrls
    tickets: Tickets
    sessions: Sessions
    oidc: OidcClient | None
    throttle: Throttle
    bodies: Bodies
    rates: Rates
    idempotency: Idempotency
    metrics: Metrics
    observer: Observer
    triggers: Triggers


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
    observer = Observer(database, metrics, traces)
    changes.on_told = observer.tell
    flows = FlowCache()
    vault = Vault(folder.master_key)
    runs = Runs(changes, flows, vault, pools.plans)
    registry = Registry(changes)
    journals = (
        TableJournals(database, bus) if database.is_shared else FileJournals(folder.journals, pools.files)
    )
    log_indexes = LogIndexes()
    ledger = Ledger(changes, journals, runs, settings.lease_terms, log_indexes)
    leases = Leases(changes, runs, ledger, settings.lease_terms)
    blobs = open_blobs(settings.blobs_url, folder.blobs, pools.files)
    hub = Hub(bus)
    runtime_tokens = RuntimeTokens(folder.signing_key, folder.server_id)
    fleet = Fleet(process, changes, leases)
    triggers = make_triggers(
        settings.triggers,
        pools=pools,
        changes=changes,
        bus=bus,
        runs=runs,
        vault=vault,
        mirrors=folder.root / "mirrors",
        public_url=lambda: settings.public_url or folder.read_address(),
    )
    handout = Handout(vault, runtime_tokens, triggers.connected.find_job_token)
    delivery = Delivery(changes, hub, fleet, leases=leases, runs=runs, handout=handout)
    return Services(
        settings=settings,
        folder=folder,
        clock=clock,
        pools=pools,
        database=database,
        bus=bus,
        changes=changes,
        flows=flows,
        runs=runs,
        leases=leases,
        fleet=fleet,
        registry=registry,
        pulse=Pulse(changes, settings.lease_terms),
        vault=vault,
        job_secrets=JobSecrets(database, vault, triggers.connected.find_job_token),
        journals=journals,
        logs=JobLogs(database, journals, blobs, log_indexes),
        archiver=Archiver(changes, bus, journals, blobs),
        retention=Retention(changes, journals, blobs),
        ledger=ledger,
        hub=hub,
        delivery=delivery,
        dispatcher=Dispatcher(
            changes,
            bus,
            hub,
            leases=leases,
            fleet=fleet,
            delivery=delivery,
        ),
        approvals=Approvals(changes, runs),
        timers=Timers(changes, bus, runs),
        group_keeper=GroupKeeper(changes, bus, runs),
        blobs=blobs,
        runtime_tokens=runtime_tokens,
        signed_urls=SignedUrls(folder.signing_key),
        tickets=Tickets(folder.signing_key, folder.server_id, clock),
        sessions=Sessions(folder.signing_key),
        oidc=None if settings.oidc is None else OidcClient(settings.oidc, clock, pools.outside),
        throttle=Throttle(clock, settings.limits.failures_per_minute),
        bodies=Bodies(settings.limits.bodies_bytes, settings.limits.bodies_of_client_bytes),
        rates=Rates(clock, settings.limits.requests_per_second, settings.limits.requests_burst),
        idempotency=Idempotency(database, clock, folder.master_key, folder.signing_key),
        metrics=metrics,
        observer=observer,
        triggers=triggers,
    )
