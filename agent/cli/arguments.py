"""Arguments as the commands share them: our error sentences, examples in the help, `--format`, sub-commands."""

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from agent.cli.terminal.spelling import advise, find_unknown_option, split_free
from agent.config import load_settings
from agent.errors import UsageError

Handler = Callable[[argparse.Namespace], int]
_LONGEST_HOLD_SECONDS = 24 * 3600
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


_VALUE_OF_FLAG = re.compile(
    r"argument (.+): ignored explicit argument (.+)", re.DOTALL
)  # argparse's sentence


class CommandParser(argparse.ArgumentParser):
    """An ArgumentParser whose mistakes are `UsageError`s with a hint, never a printed usage and an exit.

    An unknown option is said before anything else is missed: whatever else is wrong may come of it.
    """

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As argparse does, with nothing left over. Raises UsageError."""
        words = list(sys.argv[1:] if args is None else args)
        takes_value = {option: _takes_value(action) for option, action in self._option_string_actions.items()}
        is_group = self._subparsers is not None
        unknown = find_unknown_option(words, takes_value, is_group=is_group)
        if unknown:
            self._refuse(f"there is no option '{unknown}'", unknown, takes_value)
        parsed, left = super().parse_known_args(words, namespace)
        if left:
            self.error(f"'{left[0]}' is a word too many")
        return parsed, left

    def error(self, message: str) -> NoReturn:
        """Raise the mistake as a UsageError."""
        if (found := _VALUE_OF_FLAG.fullmatch(message)) is not None:
            option, value = found.groups()
            known = [word for word in self._option_string_actions if word.startswith(f"{option}=")]
            instead = f"; write {' or '.join([option, *known])}" if known else ""
            message = f"{option} can't have the value {value}{instead}"
        raise UsageError(message.replace("%", "%%"), where=self.prog, hint=f"see `{self.prog} --help`")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Argparse's own check of `choices`, with a word about what was meant."""
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - argparse has no other way to ask
            self._refuse(f"there is no command '{value}'", str(value), known)
        name = "/".join(action.option_strings) or action.metavar or action.dest
        self._refuse(f"{name} can't be '{value}': it is one of {', '.join(known)}", str(value), known)

    def _refuse(self, what: str, word: str, known: Iterable[str]) -> NoReturn:
        raise UsageError(what, where=self.prog, hint=advise(word, known, f"{self.prog} --help"))


class FlowParser(CommandParser):
    """A parser of a command that starts a flow: what it doesn't know is the flow's to know.

    What was parsed has three members more. `free`: long options that are not the command's own, each with the word that
    follows it, and words too many, in their order. `rest`: all that follows `--`. `unknown`: what there is to say of the
    first of those options, where no flow knows it either; None where there is none.
    """

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """As CommandParser does with the words that are this command's own. Raises UsageError."""
        words = list(sys.argv[1:] if args is None else args)
        takes_value = {option: _takes_value(action) for option, action in self._option_string_actions.items()}
        split = split_free(words, takes_value)
        unknown = self._explain_free(split.free, takes_value)
        try:
            parsed, left = super().parse_known_args(split.own, namespace)
        except UsageError as error:
            raise unknown or error from None
        parsed.free, parsed.rest, parsed.unknown = split.free, split.rest, unknown
        return parsed, left

    def _explain_free(self, free: Sequence[str], known: Iterable[str]) -> UsageError | None:
        name = next((word.partition("=")[0] for word in free if word.startswith("--")), "")
        if not name:
            return None
        hint = advise(name, known, f"{self.prog} --help")
        return UsageError(f"there is no option '{name}'", where=self.prog, hint=hint)


def _takes_value(action: argparse.Action) -> bool | None:
    """Whether a value follows the option; None: all the rest of the line is its value."""
    return None if action.nargs in (argparse.REMAINDER, "*", "+") else action.nargs != 0


def describe(parser: argparse.ArgumentParser, meaning: str, *examples: str) -> None:
    """Give `parser` its sentence and the examples at the end of its help."""
    parser.description = meaning
    noun = "example" if len(examples) == 1 else "examples"
    parser.epilog = "\n  ".join([f"{noun}:", *examples]) if examples else None


def add_command(
    commands: Any,
    name: str,
    handler: Handler,
    meaning: str,
    *examples: str,
    kind: type[CommandParser] = CommandParser,
) -> CommandParser:
    """A sub-command of `commands` (from `add_subcommands`)."""
    made, commands._parser_class = commands._parser_class, kind  # noqa: SLF001 - argparse has one kind for all of them
    parser: CommandParser = commands.add_parser(name, help=meaning)
    commands._parser_class = made  # noqa: SLF001
    describe(parser, meaning, *examples)
    parser.set_defaults(handler=handler)
    return parser


def add_subcommands(parser: argparse.ArgumentParser) -> Any:
    """The sub-commands of a noun; one of them has to be given."""
    return parser.add_subparsers(
        title="commands", required=True, metavar="COMMAND", parser_class=CommandParser
    )


def add_format(parser: argparse.ArgumentParser) -> None:
    """`--format text|json`."""
    parser.add_argument(
        "--format", choices=["text", "json"], default="text", help="text for people, json for programs"
    )


def add_server(parser: argparse.ArgumentParser) -> None:
    """`--url` and `--token` of the server's API; both are remembered by `agent login`."""
    parser.add_argument("--url", help="the server (AGENT_URL)")
    parser.add_argument("--token", help="your access token (AGENT_TOKEN); better through `agent login`")


def add_project(parser: argparse.ArgumentParser) -> None:
    """`--project` of the server."""
    parser.add_argument("--project", metavar="NAME", help="the project (AGENT_PROJECT; default: default)")


def add_level(parser: argparse.ArgumentParser) -> None:
    """`--project`, `--environment`, `--organisation`: where a secret or variable is set; the nearest one counts."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--project", metavar="NAME", help="the project (AGENT_PROJECT; default: default)")
    where.add_argument("--organisation", action="store_true", help="for all projects")
    parser.add_argument("--environment", metavar="NAME", help="for jobs in this environment of the project")


def level_path(arguments: argparse.Namespace, noun: str, name: str = "") -> str:
    """The path of `noun` (`secrets`, `variables`) at the level that the arguments name. Raises UsageError."""
    from urllib.parse import quote, urlencode

    if arguments.organisation and arguments.environment:
        raise UsageError(
            "an environment belongs to a project, not to the organisation", where="--environment"
        )
    base = f"/api/v1/organisation/{noun}" if arguments.organisation else f"/api/v1/{noun}"
    project = None if arguments.organisation else load_settings({"project": arguments.project})["project"]
    given = {"project": project, "environment": arguments.environment if name else None}
    query = urlencode({key: value for key, value in given.items() if value})
    return base + (f"/{quote(name, safe='')}" if name else "") + (f"?{query}" if query else "")


def read_number(text: str) -> int:
    """A number above 0, as argparse takes it: of a run, say, or how many entries to show."""
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no number above 0")
    return int(text)


def read_run(text: str) -> int:
    """The number of a run that is named by it, or by its readable name, as argparse takes it."""
    from agent.spec.run_names import find_number

    number = find_number(text)
    if number is not None:
        return number
    if text.isascii() and text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(
        f"'{text}' is no number above 0, and no run's name such as wet-mangust-1"
    )


def split_pair(text: str, option: str) -> tuple[str, str]:
    """`K=V` as a pair. Raises UsageError naming the option."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"'{text}' is not of the form NAME=VALUE", where=option)
    return name, value


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """`--input` and `--input-file`."""
    parser.add_argument("--input", action="append", default=[], metavar="K=V", help="an input of the flow")
    parser.add_argument(
        "--input-file",
        type=Path,
        metavar="F",
        help="inputs by name, as YAML or JSON: K: V, or K: {value: V}, or K: {id: DATASET}",
    )


def add_hold(parser: argparse.ArgumentParser) -> None:
    """`--hold-on-failure`."""
    parser.add_argument(
        "--hold-on-failure",
        metavar="T",
        help="a job that fails waits for so long (30m, 2h; at most 24h) before its post steps: `agent run attach` looks",
    )


def read_hold(arguments: argparse.Namespace) -> float:
    """Seconds; 0 for no hold. Raises UsageError."""
    text = arguments.hold_on_failure
    seconds = 0.0 if text is None else read_duration(text, "--hold-on-failure")
    if seconds is None or seconds > _LONGEST_HOLD_SECONDS:
        raise UsageError("a job is held for at most 24h", where="--hold-on-failure")
    return seconds


def read_duration(text: str, option: str) -> float | None:
    """Seconds of `30m`, `1h`, `7d`, `90s`; None for `never`. Raises UsageError naming the option."""
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if text == "never":
        return None
    if match is None or int(match[1]) == 0:
        raise UsageError(f"'{text}' is not a duration", where=option, hint="write 30m, 1h or 7d")
    return float(int(match[1]) * _UNITS[match[2]])
