"""The commands as data: each with its sub-commands, options and what the options take, read from the parsers."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module

from agent.cli.arguments import CommandParser
from agent.cli.main import COMMANDS

GLOBAL_OPTIONS = ("--help", "--version")


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `path` is its words after `agent`."""

    path: tuple[str, ...]
    meaning: str
    example: str
    commands: Mapping[str, str] = field(default_factory=dict)  # the next words, each with its meaning
    options: Mapping[str, "Option"] = field(default_factory=dict)
    choices: tuple[str, ...] = ()  # of an argument that is one of a few words


@dataclass(frozen=True, slots=True)
class Option:
    """One option: whether a value follows, and which ones, where that is known."""

    meaning: str
    takes_value: bool
    choices: tuple[str, ...] = ()


def read_commands() -> list[Command]:
    """All commands, `agent` itself first. Imports what declares their arguments, and nothing that they need to work."""
    top = Command(
        (),
        "Automation for ML teams on GPU machines that they own.",
        "agent demo",
        {name: meaning for name, (_, meaning) in COMMANDS.items()},
        {option: Option("", takes_value=False) for option in GLOBAL_OPTIONS},
    )
    return [top, *(command for name in COMMANDS for command in _read(name))]


def _read(name: str) -> Iterator[Command]:
    parser = CommandParser(prog=f"agent {name}")
    import_module(COMMANDS[name][0]).configure(parser)
    yield from _walk((name,), parser)


def _walk(path: tuple[str, ...], parser: argparse.ArgumentParser) -> Iterator[Command]:
    below: dict[str, argparse.ArgumentParser] = {}
    meanings: dict[str, str] = {}
    options: dict[str, Option] = {}
    words: list[str] = []
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to ask
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            below |= action.choices
            meanings |= {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
        elif not action.option_strings and action.choices:
            words += [str(choice) for choice in action.choices]
        for option in action.option_strings:
            choices = tuple(str(choice) for choice in action.choices or ())
            meaning = "" if action.help in (None, argparse.SUPPRESS) else str(action.help)
            options[option] = Option(meaning, action.nargs != 0, choices)
    example = (parser.epilog or "").rpartition("\n")[2].strip()
    commands = {name: meanings.get(name, "") for name in below}
    yield Command(path, parser.description or "", example, commands, options, tuple(words))
    for name, child in below.items():
        yield from _walk((*path, name), child)
