"""One test server, in the process that calls `run`: settings as plain data, what it announces as JSON on stdout."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent.server.http.proxies import read_proxies
from agent.server.people.auth.oidc import read_oidc
from agent.server.process.deadlines import Deadlines
from agent.server.process.limits import ServerLimits
from agent.server.process.logs import set_up_logs
from agent.server.serve import serve
from agent.server.settings import ServerSettings
from agent.server.triggers.settings import TriggerSettings
from agent.wire.lease import LeaseTerms
from agent.wire.server_side import ConnectionTerms


def run(given: dict[str, Any]) -> None:
    """Serve until told to stop."""
    set_up_logs(given.get("log_format", "text"))
    serve(
        ServerSettings(
            listen=given.get("listen", "127.0.0.1:0"),
            data=Path(given["data"]),
            public_url=given.get("public_url", ""),
            allow_attach=given.get("allow_attach", True),
            apps_url=given.get("apps_url", ""),
            master_key=given.get("master_key", ""),
            database_url=given.get("database_url", ""),
            blobs_url=given.get("blobs_url", ""),
            oidc=read_oidc(given["oidc"]) if "oidc" in given else None,
            lease_terms=LeaseTerms(**given.get("lease_terms", {})),
            connection_terms=ConnectionTerms(**given.get("connection_terms", {})),
            metrics=given.get("metrics", ""),
            proxies=read_proxies(
                given.get("trusted_proxies", ""), given.get("proxy_header", "X-Forwarded-For")
            ),
            limits=_read_limits(given.get("limits", {})),
            triggers=TriggerSettings(
                **{
                    name: tuple(value) if isinstance(value, list) else value
                    for name, value in given.get("triggers", {}).items()
                }
            ),
        ),
        lambda started: print(json.dumps(asdict(started)), flush=True),  # noqa: T201 - what the test reads
    )


def _read_limits(given: dict[str, Any]) -> ServerLimits:
    return ServerLimits(**{**given, "deadlines": Deadlines(**given.get("deadlines", {}))})
