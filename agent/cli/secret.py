"""`agent secret`: set, list and delete. Values come from standard input or a file, never from the command line."""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.cli.arguments import CommandParser
from agent.cli.local_files.values import read_value
from agent.cli.named_values import NamedNoun
from agent.cli.terminal.times import show_moment


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    _SECRETS.configure(parser, "Secrets that flows may name.", "agent secret set HF_TOKEN < token.txt")


def _add_value(setting: CommandParser) -> None:
    setting.add_argument(
        "--file", type=Path, metavar="F", help="take the value from F instead of standard input"
    )
    setting.add_argument(
        "--refs",
        default="",
        metavar="A,B",
        help="only for runs on these branches: patterns such as main,release/**, or refs/tags/v*",
    )


def _body(arguments: argparse.Namespace) -> dict[str, object]:
    value = read_value(arguments.file, arguments.name)
    return {"value": value, "refs": [text.strip() for text in arguments.refs.split(",") if text.strip()]}


def _row(entry: Mapping[str, Any]) -> list[str]:
    return [
        entry["name"],
        entry["environment"] or entry["level"],
        ", ".join(entry["refs"]),
        show_moment(entry["updated"], sys.stdout),
    ]


_SECRETS = NamedNoun(
    name="secret",
    listing="The names of all secrets, and where each is set.",
    example="HF_TOKEN",
    titles=("name", "set for", "refs", "updated"),
    row=_row,
    add_value=_add_value,
    body=_body,
)
