"""The parts of the triggers of one server, put together."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.server.events.changes import Changes
from agent.server.events.live import Bus
from agent.server.people.vault import Vault
from agent.server.pools import Pools
from agent.server.runs.runs import Runs
from agent.server.triggers.clockwork import Clockwork
from agent.server.triggers.connected import Connected
from agent.server.triggers.delivery_book import DeliveryBook
from agent.server.triggers.inbox import Inbox
from agent.server.triggers.known_flows import KnownFlows
from agent.server.triggers.named import NamedWebhooks
from agent.server.triggers.outside import OutsideRule
from agent.server.triggers.public_code import PublicCode
from agent.server.triggers.repository_reading import RepositoryReading
from agent.server.triggers.settings import TriggerSettings
from agent.server.triggers.starting import Starter
from agent.server.triggers.statuses import Statuses
from agent.server.triggers.worker import Worker


@dataclass(frozen=True, slots=True)
class Triggers:
    """What the API and the server's life use."""

    flows: KnownFlows = field(repr=False)
    deliveries: DeliveryBook = field(repr=False)
    repositories: RepositoryReading = field(repr=False)
    connected: Connected = field(repr=False)
    inbox: Inbox = field(repr=False)
    named: NamedWebhooks = field(repr=False)
    starter: Starter = field(repr=False)
    worker: Worker = field(repr=False)
    public_code: PublicCode = field(repr=False)


def make_triggers(
    settings: TriggerSettings,
    *,
    pools: Pools,
    changes: Changes,
    bus: Bus,
    runs: Runs,
    vault: Vault,
    mirrors: Path,
    public_url: Callable[[], str],
) -> Triggers:
    """The parts; `mirrors` is the folder of the repositories' copies."""
    outside = OutsideRule(settings.outside_hosts)
    connected = Connected(changes, vault, outside, pools, mirrors, settings.repository_bytes)
    starter = Starter(changes, runs)
    clockwork = Clockwork(changes, starter, settings.late_seconds)
    statuses = Statuses(changes, connected, outside, pools.outside, public_url)
    return Triggers(
        flows=KnownFlows(changes, connected, starter, pools.plans),
        deliveries=DeliveryBook(changes),
        repositories=RepositoryReading(changes.database),
        connected=connected,
        inbox=Inbox(changes, connected, pools.plans),
        named=NamedWebhooks(changes, vault, starter, pools.plans),
        starter=starter,
        worker=Worker(changes, bus, connected, starter, clockwork, statuses, pools.plans),
        public_code=PublicCode(outside, pools.outside, settings.public_code),
    )
