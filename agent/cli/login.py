"""`agent login`: remember a server and an access token in the user's config file (0600)."""

import argparse
import json
import os
import sys
import tomllib
from pathlib import Path

from agent.cli.arguments import describe
from agent.cli.client import Client
from agent.cli.secret import read_value
from agent.config import config_file, load_settings
from agent.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    describe(
        parser, "Remember the server and your access token.", "agent login --url https://flows.example.org"
    )
    parser.add_argument("--url", help="the server (AGENT_URL)")
    parser.add_argument(
        "--token-file", type=Path, help="take the token from this file instead of standard input"
    )
    parser.set_defaults(handler=_login)


def _login(arguments: argparse.Namespace) -> int:
    settings = load_settings({"url": arguments.url})
    if not settings["url"]:
        raise UsageError("no server is named", hint="agent login --url https://…")
    from_environment = os.environ.get("AGENT_TOKEN") if arguments.token_file is None else None
    token = from_environment or read_value(arguments.token_file, "access token")
    Client(settings["url"], token).get("/api/v1/runs", limit=1)
    file = config_file()
    save_login(file, settings["url"], token)
    sys.stdout.write(f"logged in to {settings['url']}; remembered in {file}\n")
    return 0


def save_login(file: Path, url: str, token: str) -> None:
    """Write `url` and `token` into the config file beside what it already says; only its owner can read it."""
    written = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    written.update(url=url, token=token)
    text = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in written.items())
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".new")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(text)
    part.replace(file)
