"""`agent server` on the command line: serve, or look after the registration tokens of a data folder."""

import argparse
import sys
from pathlib import Path

from agent.cli.arguments import (
    CommandParser,
    add_command,
    add_format,
    add_server,
    add_subcommands,
    describe,
    read_duration,
)
from agent.cli.server import accounts as server_accounts
from agent.cli.server import agents as server_agents
from agent.cli.server import id_tokens as server_id_tokens
from agent.cli.server import triggers as server_triggers
from agent.cli.server import wheelhouse as server_wheelhouse
from agent.config import Settings, load_settings
from agent.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare serving and the sub-commands."""
    describe(
        parser,
        "Run the central server. Its first start prints an admin token and a registration token, once.",
        "agent server --listen 0.0.0.0:8420 --public-url https://flows.example.org",
        "agent server token create --uses 12 --expires 1h",
    )
    parser.add_argument("--listen", help="address and port (AGENT_LISTEN; default: 127.0.0.1:8420)")
    parser.add_argument("--public-url", help="how agents and people reach it (AGENT_PUBLIC_URL)")
    parser.add_argument(
        "--peer-url",
        help="how the other servers on the same database reach this one (AGENT_PEER_URL; default: at --listen)",
    )
    parser.add_argument(
        "--blobs-url",
        metavar="URL",
        help="where bulk bytes lie: file:///FOLDER or s3://BUCKET/PREFIX?endpoint=URL (AGENT_BLOBS_URL)",
    )
    parser.add_argument(
        "--trusted-proxies",
        metavar="CIDR,...",
        help="networks of your proxies, whose word on who asks is believed (AGENT_TRUSTED_PROXIES; default: none)",
    )
    parser.add_argument(
        "--grace", default="30m", help="how long a silent agent keeps its jobs (default: 30m)"
    )
    parser.add_argument(
        "--log-format",
        choices=["text", "json"],
        default="text",
        help="of what goes to standard error (default: text)",
    )
    _add_data(parser)
    parser.set_defaults(handler=_serve)
    nouns = parser.add_subparsers(title="commands", metavar="[COMMAND]", parser_class=CommandParser)
    token = nouns.add_parser("token", help="registration tokens")
    describe(
        token, "Registration tokens: what `agent register` spends.", "agent server token create --uses 12"
    )
    commands = add_subcommands(token)
    create = add_command(
        commands, "create", _create, "Make a token.", "agent server token create --expires 1d"
    )
    create.add_argument(
        "--uses", type=int, default=1, metavar="N", help="how many agents it registers (default: 1)"
    )
    create.add_argument("--expires", default="1h", metavar="T", help="30m, 1h, 7d, or never (default: 1h)")
    create.add_argument("--group", default="", help="the group that its agents are in")
    create.add_argument("--project", default="", help="the only project that its agents work for")
    create.add_argument("--labels", default="", help="labels that its agents get, with commas")
    create.add_argument("--name", default="", help="what it is for")
    listing = add_command(
        commands, "list", _list, "All tokens, without what opens.", "agent server token list"
    )
    revoke = add_command(commands, "revoke", _revoke, "End a token.", "agent server token revoke TOKEN-ID")
    revoke.add_argument("token", metavar="TOKEN-ID")
    migrate = add_command(
        nouns,
        "migrate",
        _migrate,
        "Bring the database to this version's tables. An embedded server does so by itself when it starts.",
        "agent server migrate --database-url postgresql://flows@db.example.org/flows",
    )
    migrate.add_argument("--check", action="store_true", help="only say whether it is needed: then exit 1")
    retention = add_command(
        nouns,
        "retention",
        _retention,
        "Let go what is too old or left over, now instead of at the next hour. Needs `agent login`.",
        "agent server retention --dry-run",
    )
    retention.add_argument("--dry-run", action="store_true", help="only show it")
    add_format(retention)
    add_server(retention)
    backup = add_command(
        nouns,
        "backup",
        _backup,
        "Write a server's data to one file, while it runs. The master key is not in it.",
        "agent server backup /backups/flows.tar --data /var/lib/flow-agent/server",
    )
    backup.add_argument("file", type=Path, metavar="FILE")
    restore = add_command(
        nouns,
        "restore",
        _restore,
        "Make a new data folder from a backup of either store; with --database-url rows and journals go there.",
        "agent server restore /backups/flows.tar --data /srv/flows",
    )
    restore.add_argument(
        "--replace", action="store_true", help="also into a database that is not empty: what is in it goes"
    )
    restore.add_argument("file", type=Path, metavar="FILE")
    for command in (backup, restore):
        _add_data(command)
    for command in (create, listing, revoke, migrate):
        _add_data(command)
    server_accounts.configure(nouns, _add_data, _store)
    server_agents.configure(nouns)
    server_id_tokens.configure(nouns)
    server_triggers.configure(nouns)
    server_wheelhouse.configure(nouns, _add_data)


def _backup(arguments: argparse.Namespace) -> int:
    from agent.cli.server.backup import back_up

    settings = _settings(arguments)
    return back_up(
        _data(arguments),
        arguments.file.absolute(),
        blobs_url=settings["blobs_url"],
        database_url=settings["database_url"],
    )


def _restore(arguments: argparse.Namespace) -> int:
    from agent.cli.server.backup import restore

    database_url = _settings(arguments)["database_url"]
    return restore(arguments.file, _data(arguments), database_url=database_url, replaces=arguments.replace)


def _retention(arguments: argparse.Namespace) -> int:
    from agent.cli.client import connect
    from agent.cli.terminal.progress import size_text
    from agent.cli.terminal.tables import print_json, print_table

    client = connect(url=arguments.url, token=arguments.token)
    found = client.get("/api/v1/retention") if arguments.dry_run else client.post("/api/v1/retention")
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    rows = [
        [one["kind"], one["name"], one["project"], size_text(one["size_bytes"])] for one in found["items"]
    ]
    print_table(["what", "name", "project", "size"], rows, sys.stdout)
    verb = "would go" if arguments.dry_run else "have gone"
    sys.stderr.write(f"{len(rows)} {verb}, {size_text(found['size_bytes'])}\n")
    return 0


def _add_data(parser: argparse.ArgumentParser) -> None:
    # Given before or after the sub-command: what is not said here must not undo what was said there.
    parser.add_argument(
        "--data", default=argparse.SUPPRESS, metavar="DIR", help="the data folder (AGENT_DATA)"
    )
    parser.add_argument(
        "--database-url",
        default=argparse.SUPPRESS,
        metavar="URL",
        help="PostgreSQL, for several servers at once: postgresql://USER@HOST/NAME (AGENT_DATABASE_URL)",
    )
    add_format(parser)


def _data(arguments: argparse.Namespace) -> Path:
    return load_settings({"data": getattr(arguments, "data", None)}).data_folder.absolute()


def _store(arguments: argparse.Namespace) -> Path | str:
    """Whose rows a command works on: the data folder's, or PostgreSQL's."""
    return _settings(arguments)["database_url"] or _data(arguments)


def _settings(arguments: argparse.Namespace) -> Settings:
    return load_settings({"database_url": getattr(arguments, "database_url", None)})


def _serve(arguments: argparse.Namespace) -> int:
    from agent.cli.server.serve import run_server

    names = ("listen", "public_url", "peer_url", "blobs_url", "database_url", "trusted_proxies")
    settings = load_settings({name: getattr(arguments, name, None) for name in names})
    if not settings["database_pool"].isdecimal() or int(settings["database_pool"]) < 4:
        raise UsageError("a server needs 4 connections to its database or more", where="AGENT_DATABASE_POOL")
    if settings["attach"] not in ("yes", "no"):
        raise UsageError("write yes or no", where="AGENT_ATTACH")
    return run_server(
        listen=settings["listen"],
        data=_data(arguments),
        public_url=settings["public_url"],
        peer_url=settings["peer_url"],
        allow_attach=settings["attach"] == "yes",
        apps_url=settings["apps_url"],
        blobs_url=settings["blobs_url"],
        database_url=settings["database_url"],
        database_pool=int(settings["database_pool"]),
        outside_hosts=tuple(settings["outside_hosts"].split()),
        public_code=tuple(name for name in settings["public_code"].split() if name != "no"),
        trusted_proxies=settings["trusted_proxies"],
        proxy_header=settings["proxy_header"],
        master_key=settings["master_key"],
        metrics=settings["metrics"],
        oidc=settings.values,
        grace_seconds=read_duration(arguments.grace, "--grace") or float("inf"),
        log_format=arguments.log_format,
        output_format=arguments.format,
    )


def _create(arguments: argparse.Namespace) -> int:
    from agent.cli.server.serve import create_token

    if arguments.uses < 1:
        raise UsageError("a token is good for at least one agent", where="--uses")
    return create_token(
        _store(arguments),
        name=arguments.name,
        uses=arguments.uses,
        expires_seconds=read_duration(arguments.expires, "--expires"),
        group=arguments.group,
        project=arguments.project,
        labels=tuple(label.strip() for label in arguments.labels.split(",") if label.strip()),
        output_format=arguments.format,
        out=sys.stdout,
    )


def _list(arguments: argparse.Namespace) -> int:
    from agent.cli.server.serve import list_tokens

    return list_tokens(_store(arguments), output_format=arguments.format, out=sys.stdout)


def _revoke(arguments: argparse.Namespace) -> int:
    from agent.cli.server.serve import revoke_token

    return revoke_token(_store(arguments), arguments.token)


def _migrate(arguments: argparse.Namespace) -> int:
    from agent.cli.server.serve import migrate

    return migrate(
        _store(arguments), only_check=arguments.check, output_format=arguments.format, out=sys.stdout
    )
