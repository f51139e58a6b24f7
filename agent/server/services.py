"""The parts of one running server, put together once at its start."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agent.clock import Clock
from agent.ids import ENTROPY_BYTES, make_id
from agent.server.agents.dispatch import Dispatcher
from agent.server.agents.room import make_agent_room
from agent.server.data.archive.archiver import Archiver
from agent.server.data.room import make_data_room
from agent.server.events.changes import Changes
from agent.server.events.live import Bus, SharedBus
from agent.server.http.bodies import Bodies
from agent.server.http.room import HttpRoom
from agent.server.http.rooms import Rooms
from agent.server.people.auth.rates import Rates
from agent.server.people.room import make_people_room
from agent.server.people.vault import Vault
from agent.server.pools import Pools, open_pools
from agent.server.process.apps_origin import NO_APPS, read_apps_origin
from agent.server.process.data_folder import DataFolder
from agent.server.process.idempotency import Idempotency
from agent.server.process.metrics import Metrics
from agent.server.process.room import ProcessRoom
from agent.server.process.traces import Traces, open_traces
from agent.server.runs.flow_cache import FlowCache
from agent.server.runs.groups import GroupKeeper
from agent.server.runs.room import make_run_room
from agent.server.runs.runs import Runs
from agent.server.runs.timers import Timers
from agent.server.settings import ServerSettings
from agent.server.store.database import Database, open_database
from agent.server.streams.room import make_stream_room
from agent.server.telemetry import Telemetry
from agent.server.triggers.service import Triggers, make_triggers
from agent.server.triggers.serving import CodeServing


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
    own_url = settings.public_url or f"http://{settings.listen}"
    own = ProcessRoom(
        folder=folder,
        pools=pools,
        limits=settings.limits,
        metrics=metrics,
        idempotency=Idempotency(database, clock, folder.master_key, folder.signing_key),
        public_url=settings.public_url,
        own_url=own_url,
        apps_origin=read_apps_origin(settings.apps_url, own_url),
        scrapers=settings.metrics,
    )
    vault = Vault(folder.master_key)
    runs = Runs(changes, FlowCache(), vault, pools.plans)
    triggers = _make_triggers(settings, folder, pools, changes, bus, runs, vault)
    find_job_token = triggers.connected.find_job_token
    failures = settings.limits.failures_per_minute
    people = make_people_room(changes, vault, folder, pools, find_job_token, settings.oidc, failures, own_url)
    data = make_data_room(changes, bus, folder, pools.files, settings.limits, settings.blobs_url)
    agents = make_agent_room(
        process,
        changes,
        bus,
        runs,
        people,
        data,
        find_job_token,
        lease_terms=settings.lease_terms,
        connection_terms=settings.connection_terms,
        allow_attach=settings.allow_attach,
        allow_apps=settings.apps_url != NO_APPS,
    )
    rooms = Rooms(
        clock=clock,
        database=database,
        changes=changes,
        bus=bus,
        process=own,
        people=people,
        runs=make_run_room(changes, runs),
        data=data,
        triggers=triggers,
        agents=agents,
        code=CodeServing(database, data.code, triggers.connected, triggers.public_code),
        http=HttpRoom(
            Bodies(settings.limits.bodies_bytes, settings.limits.bodies_of_client_bytes),
            Rates(clock, settings.limits.requests_per_second, settings.limits.requests_burst),
        ),
        streams=make_stream_room(changes, bus, folder, vault, runs, pools.plans, data.blobs),
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
