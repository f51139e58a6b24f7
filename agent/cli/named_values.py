"""`set`, `list` and `delete` of what has a name and a value at a level of a project: one mechanism for secrets and variables."""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.cli.arguments import (
    CommandParser,
    add_command,
    add_format,
    add_level,
    add_server,
    add_subcommands,
    describe,
    level_path,
)
from agent.cli.client import Client, connect
from agent.cli.terminal.tables import print_json, print_table


@dataclass(frozen=True, slots=True)
class NamedNoun:
    """What there is to say of a noun: its words, what is sent to set one, and a row of its table."""

    name: str  # `secret`
    listing: str  # what `list` shows, a sentence
    example: str  # a name
    titles: tuple[str, ...]
    row: Callable[[Mapping[str, Any]], list[str]]
    add_value: Callable[[CommandParser], None]  # declares how `set` is given the value
    body: Callable[[argparse.Namespace], dict[str, object]]

    def configure(self, parser: argparse.ArgumentParser, meaning: str, setting_example: str) -> None:
        """Declare the sub-commands."""
        describe(parser, meaning, setting_example)
        noun, commands = self.name, add_subcommands(parser)
        setting = add_command(commands, "set", self._set, f"Set a {noun}.", setting_example)
        listing = add_command(commands, "list", self._list, self.listing, f"agent {noun} list")
        example = f"agent {noun} delete {self.example}"
        deleting = add_command(commands, "delete", self._delete, f"Delete a {noun}.", example)
        for command in (setting, deleting):
            command.add_argument("name", metavar="NAME")
        self.add_value(setting)
        for command in (setting, listing, deleting):
            add_level(command)
            add_format(command)
            add_server(command)

    def _set(self, arguments: argparse.Namespace) -> int:
        body = self.body(arguments)
        _connect(arguments).put(self._path(arguments, arguments.name), body)
        sys.stderr.write(f"{self.name} {arguments.name} is set\n")
        return 0

    def _list(self, arguments: argparse.Namespace) -> int:
        wanted = arguments.environment
        listed = _connect(arguments).list_all(self._path(arguments), f"{self.name}s")
        found = [entry for entry in listed if not wanted or entry["environment"] == wanted]
        if arguments.format == "json":
            print_json(found, sys.stdout)
        else:
            print_table(list(self.titles), [self.row(entry) for entry in found], sys.stdout)
        return 0

    def _delete(self, arguments: argparse.Namespace) -> int:
        _connect(arguments).delete(self._path(arguments, arguments.name))
        sys.stderr.write(f"{self.name} {arguments.name} is deleted\n")
        return 0

    def _path(self, arguments: argparse.Namespace, name: str = "") -> str:
        return level_path(arguments, f"{self.name}s", name)


def _connect(arguments: argparse.Namespace) -> Client:
    return connect(url=arguments.url, token=arguments.token)
