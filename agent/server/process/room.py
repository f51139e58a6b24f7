"""The room's parts: what one server process is, whoever asks."""

from dataclasses import dataclass

from agent.server.pools import Pools
from agent.server.process.apps_origin import AppsOrigin
from agent.server.process.data_folder import DataFolder
from agent.server.process.idempotency import Idempotency
from agent.server.process.limits import ServerLimits
from agent.server.process.metrics import Metrics


@dataclass(frozen=True, slots=True)
class ProcessRoom:
    """`public_url` is empty where the operator has not said how people reach the server; `scrapers` who sees `/metrics`.

    `own_url` is that, or where it listens. `apps_origin` None: browsers find no apps of jobs here.
    """

    folder: DataFolder
    pools: Pools
    limits: ServerLimits
    metrics: Metrics
    idempotency: Idempotency
    public_url: str
    own_url: str
    apps_origin: AppsOrigin | None
    scrapers: str
