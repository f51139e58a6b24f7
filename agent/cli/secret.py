"""`agent secret`: set, list and delete. Values come from standard input or a file, never from the command line."""

import argparse
import sys
from pathlib import Path

from agent.cli.arguments import (
    add_command,
    add_format,
    add_level,
    add_server,
    add_subcommands,
    describe,
    level_path,
)
from agent.cli.client import connect
from agent.cli.local_files.files import read_text
from agent.cli.terminal.tables import print_json, print_table
from agent.cli.terminal.times import show_moment
from agent.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    describe(parser, "Secrets that flows may name.", "agent secret set HF_TOKEN < token.txt")
    commands = add_subcommands(parser)
    setting = add_command(commands, "set", _set, "Set a secret.", "agent secret set HF_TOKEN < token.txt")
    setting.add_argument("name", metavar="NAME")
    setting.add_argument(
        "--file", type=Path, metavar="F", help="take the value from F instead of standard input"
    )
    setting.add_argument(
        "--refs",
        default="",
        metavar="A,B",
        help="only for runs on these branches: patterns such as main,release/**, or refs/tags/v*",
    )
    listing = add_command(
        commands, "list", _list, "The names of all secrets, and where each is set.", "agent secret list"
    )
    deleting = add_command(commands, "delete", _delete, "Delete a secret.", "agent secret delete HF_TOKEN")
    deleting.add_argument("name", metavar="NAME")
    for command in (setting, listing, deleting):
        add_level(command)
        add_format(command)
        add_server(command)


def read_value(file: Path | None, what: str) -> str:
    """A value from `file`, or from standard input (asked for without echo on a terminal), less one final newline."""
    if file is not None:
        value = read_text(file)
    elif sys.stdin.isatty():
        import getpass

        value = getpass.getpass(f"{what}: ")
    else:
        value = _read_input()
    value = value.removesuffix("\n").removesuffix("\r")
    if not value:
        raise UsageError(f"the value of {what} is empty", hint="give it on standard input, or with --file")
    return value


def _read_input() -> str:
    """Standard input as UTF-8, whatever the locale says: a value is the same from a file and from a pipe."""
    data = sys.stdin.buffer.read() if hasattr(sys.stdin, "buffer") else sys.stdin.read().encode()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("the value is not UTF-8 text", where="standard input") from None


def _set(arguments: argparse.Namespace) -> int:
    value = read_value(arguments.file, arguments.name)
    refs = [pattern.strip() for pattern in arguments.refs.split(",") if pattern.strip()]
    path = level_path(arguments, "secrets", arguments.name)
    connect(url=arguments.url, token=arguments.token).put(path, {"value": value, "refs": refs})
    sys.stderr.write(f"secret {arguments.name} is set\n")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    client = connect(url=arguments.url, token=arguments.token)
    secrets = client.list_all(level_path(arguments, "secrets"), "secrets")
    if arguments.format == "json":
        print_json(secrets, sys.stdout)
    else:
        rows = [
            [
                entry["name"],
                entry["environment"] or entry["level"],
                ", ".join(entry["refs"]),
                show_moment(entry["updated"], sys.stdout),
            ]
            for entry in secrets
            if not arguments.environment or entry["environment"] == arguments.environment
        ]
        print_table(["name", "set for", "refs", "updated"], rows, sys.stdout)
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    connect(url=arguments.url, token=arguments.token).delete(level_path(arguments, "secrets", arguments.name))
    sys.stderr.write(f"secret {arguments.name} is deleted\n")
    return 0
