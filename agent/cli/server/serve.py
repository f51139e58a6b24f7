"""`agent server`: the central server, and its registration tokens.

`run_server` stays until it is told to end. The token commands work on the data folder itself, so they need no log-in
and work whether the server runs or not: who may write the folder is its operator.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from agent.cli.terminal.times import seconds_of, show_moment
from agent.errors import AgentError, NotFoundError

if TYPE_CHECKING:
    from agent.server.events.changes import Change
    from agent.server.serve import ServerStarted
    from agent.server.store.tokens import TokenRow

T = TypeVar("T")
_SERVER_MODULES = (
    "starlette",
    "uvicorn",
    "sqlalchemy",
    "aiosqlite",
    "jsonschema_rs",
    "asyncpg",
    "alembic",
    "msgspec",
    "joserfc",
)


def run_server(
    *,
    listen: str,
    data: Path,
    public_url: str = "",
    peer_url: str = "",
    allow_attach: bool = True,
    apps_url: str = "",
    blobs_url: str = "",
    database_url: str = "",
    database_pool: int = 16,
    outside_hosts: tuple[str, ...] = (),
    public_code: tuple[str, ...] = ("*",),
    trusted_proxies: str = "",
    proxy_header: str = "X-Forwarded-For",
    master_key: str = "",
    metrics: str = "",
    oidc: Mapping[str, str] | None = None,
    grace_seconds: float = 1800.0,
    log_format: str = "text",
    output_format: str = "text",
    out: TextIO | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; the exit status is 0.

    What there is to know is printed to `out` once requests are answered; as `json` it is one line with `url`,
    `server`, `data`, and at the first start `admin_token` and `registration_token`. Raises AgentError.
    """
    _need_server()
    from agent.server.http.proxies import read_proxies
    from agent.server.people.auth.oidc import read_oidc
    from agent.server.process.logs import set_up_logs
    from agent.server.process.own_url import check_own_url
    from agent.server.serve import serve
    from agent.server.settings import ServerSettings
    from agent.server.triggers.settings import TriggerSettings
    from agent.wire.lease import LeaseTerms

    set_up_logs(log_format)
    settings = ServerSettings(
        listen=listen,
        data=data,
        public_url=check_own_url(public_url, "--public-url"),
        peer_url=check_own_url(peer_url, "--peer-url"),
        allow_attach=allow_attach,
        apps_url=apps_url,
        blobs_url=blobs_url,
        database_url=database_url,
        database_pool=database_pool,
        proxies=read_proxies(trusted_proxies, proxy_header),
        master_key=master_key,
        metrics=metrics,
        oidc=read_oidc(oidc) if oidc else None,
        lease_terms=LeaseTerms(grace_seconds=grace_seconds),
        triggers=TriggerSettings(outside_hosts=outside_hosts, public_code=public_code),
    )
    serve(settings, lambda started: _announce(started, output_format, out or sys.stdout))
    return 0


def create_token(
    data: Path | str,
    *,
    kind: str = "registration",
    name: str = "",
    uses: int | None = 1,
    expires_seconds: float | None = 3600.0,
    labels: Sequence[str] = (),
    group: str = "",
    project: str = "",
    output_format: str = "text",
    out: TextIO | None = None,
) -> int:
    """Make a token (`registration`, or `api` for people) and print it: nobody can show it a second time."""
    _need_server()
    from agent.server.people.accounts import find_project
    from agent.server.people.auth import tokens
    from agent.server.store.users import FIRST

    async def create(change: "Change") -> "tuple[TokenRow, str]":
        bound = (await find_project(change.connection, project)).id if project else None
        return await tokens.create_token(
            change.connection,
            kind,
            now=change.now,
            name=name,
            uses=uses,
            expires_seconds=expires_seconds,
            labels=labels,
            group=group,
            project=bound,
            user=FIRST if kind == tokens.API else None,
        )

    row, token = with_data(data, create)
    text = json.dumps({**_token_json(row), "token": token}) if output_format == "json" else token
    print(text, file=out or sys.stdout)
    return 0


def list_tokens(
    data: Path | str, *, kind: str = "registration", output_format: str = "text", out: TextIO | None = None
) -> int:
    """Print the tokens, without what would let anybody use them."""
    _need_server()
    from agent.server.store import tokens

    rows = with_data(data, lambda change: tokens.list_tokens(change.connection, kind))
    shown = [_token_json(row) for row in rows]
    out = out or sys.stdout
    if output_format == "json":
        print(json.dumps(shown), file=out)
        return 0
    if not shown:
        sys.stderr.write("there are no tokens\n")
    for token in shown:
        uses = "no limit" if token["uses_left"] is None else f"{token['uses_left']} left"
        print(f"{token['id']}  uses: {uses}  {_end_of(token, out)}  {token['name']}".rstrip(), file=out)
    return 0


def _end_of(token: Mapping[str, Any], out: TextIO) -> str:
    if token["revoked"]:
        return f"revoked {show_moment(token['revoked'], out)}"
    end = seconds_of(token["expires"])
    if end is None:
        return "expires never"
    return f"{'expires' if end > time.time() else 'expired'} {show_moment(end, out)}"


def revoke_token(data: Path | str, token: str, *, kind: str = "registration") -> int:
    """End a token, named by its id. Raises NotFoundError."""
    _need_server()
    from agent.server.store import tokens

    revoked = with_data(data, lambda change: tokens.revoke_token(change.connection, token, kind, change.now))
    if not revoked:
        raise NotFoundError(
            f"there is no {kind} token '{token}', or it was revoked already",
            hint="see: agent server token list",
        )
    return 0


def _need_server() -> None:
    """Raises AgentError when the extra `[server]` is not installed."""
    missing = [name for name in _SERVER_MODULES if find_spec(name) is None]
    if missing:
        raise AgentError(
            f"the server is not installed here: {', '.join(missing)} is missing",
            hint="install it with what servers need: docs/server.md",
        )


def _announce(started: "ServerStarted", output_format: str, out: TextIO) -> None:
    if output_format == "json":
        facts = {
            "url": started.url,
            "server": started.server_id,
            "data": started.data,
            "admin_token": started.admin_token,
            "registration_token": started.registration_token,
        }
        print(
            json.dumps({name: value for name, value in facts.items() if value is not None}),
            file=out,
            flush=True,
        )
        return
    lines = [f"listening on {started.url} (data in {started.data})"]
    if started.admin_token:
        lines += [
            "first start: keep these two, they are not shown again",
            f"  admin token:        {started.admin_token}",
            f"  registration token: {started.registration_token}",
            f"  next, where you work: agent login --url {started.url}  (it asks for the admin token)",
            f"  and on a machine that shall run jobs: agent register --url {started.url} --token TOKEN",
            "  in a browser the same address shows runs, queue and agents; the admin token signs you in",
        ]
    print("\n".join(lines), file=out, flush=True)


def migrate(
    data: Path | str, *, only_check: bool = False, output_format: str = "text", out: TextIO | None = None
) -> int:
    """Bring the database to this version's schema, or say whether that is needed: then the exit status is 1."""
    _need_server()
    from agent.server.store import migrate as migrations

    place = _database(data)
    work = migrations.read_standing if only_check else migrations.migrate
    standing = asyncio.run(work(place))
    is_needed = only_check and not standing.is_current
    facts = {"found": standing.found, "newest": standing.newest, "is_needed": is_needed}
    found = f"schema {standing.found}" if standing.found else "no tables"
    verb = "this version reads" if only_check else "now it has"
    text = f"the database has {found}: nothing to do" if standing.is_current else ""
    text = text or f"the database {'has' if only_check else 'had'} {found}, {verb} {standing.newest}"
    print(json.dumps(facts) if output_format == "json" else text, file=out or sys.stdout)
    return 1 if is_needed else 0


def _database(data: Path | str) -> Path | str:
    """The database of a data folder, or PostgreSQL's URL as it is. Raises NotFoundError when no server was there yet."""
    if isinstance(data, str):
        return data
    file = data / "flow.db"
    if not file.exists():
        raise NotFoundError(
            "there is no server's data here",
            where=str(data),
            hint="on the server's own machine name its folder with --data; `agent server` makes one",
        )
    return file


def with_data(data: Path | str, work: "Callable[[Change], Awaitable[T]]") -> T:
    """The result of `work` in one transaction on the data folder's database, or the one at a URL."""
    from agent.clock import SystemClock
    from agent.server.events.changes import Changes
    from agent.server.events.live import Bus, SharedBus
    from agent.server.store.database import open_database

    place = _database(data)

    async def run() -> T:
        database = await open_database(place, pool_size=1)
        bus = SharedBus("command") if database.is_shared else Bus()
        try:
            async with Changes(database, bus, SystemClock()).begin() as change:
                return await work(change)
        finally:
            await database.close()

    return asyncio.run(run())


def _token_json(row: "TokenRow") -> dict[str, Any]:
    from agent.server.process.moments import time_text

    return {
        "id": row.id,
        "name": row.name,
        "labels": json.loads(row.labels),
        "group": row.group_name,
        "uses_left": row.uses_left,
        "created": time_text(row.created_at),
        "expires": time_text(row.expires_at),
        "revoked": time_text(row.revoked_at),
    }
