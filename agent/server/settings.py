"""How a server is set up."""

from dataclasses import dataclass, field
from pathlib import Path

from agent.server.auth.oidc import OidcSettings
from agent.server.deadlines import Deadlines
from agent.server.proxies import TrustedProxies
from agent.server.triggers.settings import TriggerSettings
from agent.wire.lease import LeaseTerms
from agent.wire.server_side import ConnectionTerms


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds for what strangers and users may send."""

    json_bytes: int = 4 << 20
    snapshot_bytes: int = 4 << 30
    artifact_bytes: int = 64 << 30
    dataset_file_bytes: int = 64 << 30
    dataset_files: int = 1_000_000  # of one version
    connections: int = 0  # in all, of one server process; 0: what its open files leave room for
    connections_of_stranger: int = 256  # of one address, before anybody on them has shown who they are
    connections_before_proof: int = 2048  # of agents
    deadlines: Deadlines = field(default_factory=Deadlines)
    handshake_seconds: float = 15.0
    hook_bytes: int = 25 << 20  # a webhook's body: what GitHub sends at most
    bodies_bytes: int = 256 << 20  # of requests' bodies that are in memory at a time, in all
    bodies_of_client_bytes: int = 64 << 20  # and of one address
    failures_per_minute: int = 60  # refused tokens and signatures of one client address
    requests_per_second: float = 200.0  # of one token, or one address without a token; 0: no limit
    requests_burst: int = 2000  # so many at once
    least_free_bytes: int = 256 << 20  # of disk: below it a server says that it is not ready


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """`public_url` empty: the address that is listened on.

    `peer_url` is where the other servers of the installation reach this very process; empty: at `listen`.
    """

    listen: str
    data: Path
    public_url: str = ""
    peer_url: str = ""
    database_url: str = ""  # empty: DATA/flow.db
    database_pool: int = 16  # connections to PostgreSQL
    blobs_url: str = ""  # empty: DATA/blobs; else see agent/server/blobs/location.py
    master_key: str = ""  # empty: DATA/master.key
    proxies: TrustedProxies = field(default_factory=TrustedProxies)  # of the operator's, in front of it
    metrics: str = (
        ""  # who sees /metrics: a token of its own, `open` for all; empty: admins of the organisation
    )
    oidc: OidcSettings | None = None
    lease_terms: LeaseTerms = field(default_factory=LeaseTerms)
    connection_terms: ConnectionTerms = field(default_factory=ConnectionTerms)
    limits: Limits = field(default_factory=Limits)
    allow_attach: bool = True
    triggers: TriggerSettings = field(default_factory=TriggerSettings)
