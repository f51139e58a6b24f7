"""`agent variable`: plain values that flows read as `vars.NAME`."""

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
from agent.cli.secret import read_value
from agent.cli.terminal.tables import print_json, print_table


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    describe(parser, "Variables that flows read as vars.NAME.", "agent variable set REGION eu-1")
    commands = add_subcommands(parser)
    setting = add_command(commands, "set", _set, "Set a variable.", "agent variable set REGION eu-1")
    setting.add_argument("name", metavar="NAME")
    setting.add_argument(
        "value", nargs="?", metavar="VALUE", help="without it: from --file or standard input"
    )
    setting.add_argument("--file", type=Path, metavar="F", help="take the value from F")
    listing = add_command(commands, "list", _list, "All variables.", "agent variable list")
    deleting = add_command(commands, "delete", _delete, "Delete a variable.", "agent variable delete REGION")
    deleting.add_argument("name", metavar="NAME")
    for command in (setting, listing, deleting):
        add_level(command)
        add_format(command)
        add_server(command)


def _set(arguments: argparse.Namespace) -> int:
    value = arguments.value if arguments.value is not None else read_value(arguments.file, arguments.name)
    connect(url=arguments.url, token=arguments.token).put(
        level_path(arguments, "variables", arguments.name), {"value": value}
    )
    sys.stderr.write(f"variable {arguments.name} is set\n")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    client = connect(url=arguments.url, token=arguments.token)
    variables = client.list_all(level_path(arguments, "variables"), "variables")
    if arguments.format == "json":
        print_json(variables, sys.stdout)
    else:
        rows = [
            [entry["name"], entry["value"], entry["environment"] or entry["level"]]
            for entry in variables
            if not arguments.environment or entry["environment"] == arguments.environment
        ]
        print_table(["name", "value", "set for"], rows, sys.stdout)
    return 0


def _delete(arguments: argparse.Namespace) -> int:
    connect(url=arguments.url, token=arguments.token).delete(
        level_path(arguments, "variables", arguments.name)
    )
    sys.stderr.write(f"variable {arguments.name} is deleted\n")
    return 0
