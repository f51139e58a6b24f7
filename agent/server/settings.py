"""Settings of a server."""

from dataclasses import dataclass, field
from pathlib import Path

from agent.server.http.proxies import TrustedProxies
from agent.server.people.auth.oidc import OidcSettings
from agent.server.process.limits import ServerLimits
from agent.server.triggers.settings import TriggerSettings
from agent.wire.lease import LeaseTerms
from agent.wire.server_side import ConnectionTerms


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
    blobs_url: str = ""  # empty: DATA/blobs; else see agent/server/data/blobs/location.py
    master_key: str = ""  # empty: DATA/master.key
    proxies: TrustedProxies = field(default_factory=TrustedProxies)  # of the operator's, in front of it
    metrics: str = (
        ""  # who sees /metrics: a token of its own, `open` for all; empty: admins of the organisation
    )
    oidc: OidcSettings | None = None
    lease_terms: LeaseTerms = field(default_factory=LeaseTerms)
    connection_terms: ConnectionTerms = field(default_factory=ConnectionTerms)
    limits: ServerLimits = field(default_factory=ServerLimits)
    allow_attach: bool = True
    apps_url: str = ""  # agent.server.process.apps_origin
    triggers: TriggerSettings = field(default_factory=TriggerSettings)
