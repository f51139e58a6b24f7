"""`agent server oidc`: the keys with which the server vouches for jobs to clouds and vaults, over its API."""

import argparse
import sys
from typing import Any

from agent.cli.arguments import CommandParser, add_command, add_format, add_server, add_subcommands, describe
from agent.cli.client import Client, connect
from agent.cli.terminal.tables import print_json, print_table
from agent.cli.terminal.times import show_moment

_PATH = "/api/v1/id-token-keys"


def configure(nouns: Any) -> None:
    """Declare the noun among those of `agent server`."""
    parser: CommandParser = nouns.add_parser("oidc", help="how jobs prove themselves to clouds and vaults")
    describe(
        parser,
        "The issuer of jobs' tokens (OpenID Connect), and the keys that sign them. Needs `agent login`.",
        "agent server oidc keys",
    )
    commands = add_subcommands(parser)
    keys = add_command(
        commands, "keys", _list, "The issuer, and its published keys.", "agent server oidc keys"
    )
    rotate = add_command(
        commands,
        "rotate",
        _rotate,
        "Replace the key that signs. The new one is published now and signs in an hour; the old one stays published until"
        " nothing that it signed is left.",
        "agent server oidc rotate",
    )
    rotate.add_argument(
        "--at-once",
        action="store_true",
        help="a key has leaked: it is published no more, and the new one signs now",
    )
    for command in (keys, rotate):
        add_format(command)
        add_server(command)


def _list(arguments: argparse.Namespace) -> int:
    return _tell(arguments, _connect(arguments).get(_PATH))


def _rotate(arguments: argparse.Namespace) -> int:
    return _tell(arguments, _connect(arguments).post(_PATH, {"at_once": arguments.at_once}))


def _tell(arguments: argparse.Namespace, found: Any) -> int:
    if arguments.format == "json":
        print_json(found, sys.stdout)
        return 0
    sys.stdout.write(f"issuer {found['issuer']}\n")
    rows = [
        [
            key["id"],
            show_moment(key["signs_from"], sys.stdout),
            show_moment(key["published_until"], sys.stdout) if key["published_until"] else "",
        ]
        for key in found["keys"]
    ]
    print_table(["key", "signs from", "published until"], rows, sys.stdout)
    return 0


def _connect(arguments: argparse.Namespace) -> Client:
    return connect(url=arguments.url, token=arguments.token)
