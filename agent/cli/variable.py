"""`agent variable`: plain values that flows read as `vars.NAME`."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.cli.arguments import CommandParser
from agent.cli.local_files.values import read_value
from agent.cli.named_values import NamedNoun


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    _VARIABLES.configure(parser, "Variables that flows read as vars.NAME.", "agent variable set REGION eu-1")


def _add_value(setting: CommandParser) -> None:
    setting.add_argument(
        "value", nargs="?", metavar="VALUE", help="without it: from --file or standard input"
    )
    setting.add_argument("--file", type=Path, metavar="F", help="take the value from F")


def _body(arguments: argparse.Namespace) -> dict[str, object]:
    given = arguments.value
    return {"value": given if given is not None else read_value(arguments.file, arguments.name)}


def _row(entry: Mapping[str, Any]) -> list[str]:
    return [entry["name"], entry["value"], entry["environment"] or entry["level"]]


_VARIABLES = NamedNoun(
    name="variable",
    listing="All variables.",
    example="REGION",
    titles=("name", "value", "set for"),
    row=_row,
    add_value=_add_value,
    body=_body,
)
