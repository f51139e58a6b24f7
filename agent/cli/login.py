"""`agent login`: remember a server and an access token in the user's config file (0600)."""

import argparse
import json
import os
import platform
import sys
import tomllib
from pathlib import Path

from agent.cli.arguments import describe, read_duration
from agent.cli.client import Client
from agent.cli.local_files.values import read_value
from agent.config import config_file, load_settings
from agent.errors import UsageError
from agent.wire.answers import not_ours

_LONGEST_SECONDS = 3.1e9  # about a century: `never`


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    describe(
        parser,
        "Remember the server and your access token.",
        "agent login --url https://flows.example.org",
        "agent login --url https://flows.example.org --user ada < password.txt",
    )
    parser.add_argument("--url", help="the server (AGENT_URL)")
    parser.add_argument(
        "--token-file", type=Path, help="take the token from this file instead of standard input"
    )
    parser.add_argument("--token", help="the token itself; better from standard input, or AGENT_TOKEN")
    parser.add_argument(
        "--user", help="sign in by name and password (from standard input) and get a token for them"
    )
    parser.add_argument(
        "--expires", default="90d", metavar="T", help="of the token for --user (default: 90d)"
    )
    parser.set_defaults(handler=_login)


def _login(arguments: argparse.Namespace) -> int:
    settings = load_settings({"url": arguments.url})
    if not settings["url"]:
        raise UsageError("no server is named", hint="agent login --url https://…")
    token = _sign_in(settings["url"], arguments) if arguments.user else _read_token(arguments)
    user = _name_of(Client(settings["url"], token))
    file = config_file()
    save_login(file, settings["url"], token)
    sys.stdout.write(f"logged in to {settings['url']} as {user}; remembered in {file}\n")
    return 0


def _name_of(client: Client) -> str:
    user = client.get("/api/v1/user")
    if not isinstance(user, dict) or not isinstance(user.get("name"), str):
        raise not_ours(client.url)
    return str(user["name"])


def _read_token(arguments: argparse.Namespace) -> str:
    if arguments.token:
        return str(arguments.token)
    from_environment = os.environ.get("AGENT_TOKEN") if arguments.token_file is None else None
    return from_environment or read_value(arguments.token_file, "access token")


def _sign_in(url: str, arguments: argparse.Namespace) -> str:
    """A token for a name and a password; it is named after this machine, so that its user knows it in the list."""
    password = read_value(None, f"password of {arguments.user}")
    body = {
        "user": arguments.user,
        "password": password,
        "name": f"agent login on {platform.node()}"[:100],
        "expires_seconds": read_duration(arguments.expires, "--expires") or _LONGEST_SECONDS,
    }
    return str(Client(url, "").post("/api/v1/login", body)["token"])


def save_login(file: Path, url: str, token: str) -> None:
    """Write `url` and `token` into the config file beside what it already says; only its owner can read it."""
    written = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    written.update(url=url, token=token)
    text = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in written.items())
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(file.name + ".new")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    part.replace(file)
