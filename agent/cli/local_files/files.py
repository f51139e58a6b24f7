"""Files that the command line names: flows, events, secrets, each with a clear word when it can't be read."""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from agent.cli.arguments import split_pair
from agent.errors import UsageError
from agent.flow.companions import ReadCompanions
from agent.flow.model import Flow
from agent.flow.problems import Problem


@dataclass(frozen=True, slots=True)
class ReadFlow:
    """A flow file as it was read, once: its text, and what that text means."""

    text: str
    flow: Flow


@dataclass(frozen=True, slots=True)
class ReadLock:
    """A `flow.lock` as it was read, once: its text, and what it holds each `uses:` to."""

    text: str
    pins: Mapping[str, str]


def read_flow(
    file: Path,
    dialect: str | None,
    *,
    text: str | None = None,
    added: Mapping[str, str] = MappingProxyType({}),
    warns: bool = True,
) -> ReadFlow:
    """The flow in `file` with its text; its warnings go to standard error. Raises UsageError, InvalidFlowError.

    `text` is what counts for the file's; `added` are companions that no file holds.

    Who hands the text on sends this one: read again, the file may be another one that nobody has checked.
    """
    from agent.flow.load import load_flow

    text = read_text(file) if text is None else text
    beside = open_companions(file)
    companions = (lambda patterns: {**beside(patterns), **added}) if added else beside
    loaded = load_flow(text, str(file), dialect=dialect, companions=companions)
    if warns:
        warn_of(loaded.warnings)
    return ReadFlow(text, loaded.flow)


def open_companions(file: Path) -> ReadCompanions:
    """A reader of what lies beside the flow `file` on this disk. It raises UsageError for a text that can't be read."""

    def read(patterns: Sequence[str]) -> Mapping[str, str]:
        from agent.flow.companions import MOST_COMPANIONS

        found: dict[str, str] = {}
        for pattern in patterns:
            below, _, name = pattern.rpartition("/")
            folder = file.parent / below
            for one in sorted(folder.glob(name))[:MOST_COMPANIONS]:
                if one.is_file() and not (file.exists() and one.samefile(file)):
                    found[f"{below}/{one.name}" if below else one.name] = read_text(one)
        return found

    return read


def load_file(file: Path, dialect: str | None) -> Flow:
    """The flow in `file`; its warnings go to standard error. Raises as `read_flow`."""
    return read_flow(file, dialect).flow


def warn_of(warnings: Iterable[Problem]) -> None:
    """Put the warnings about a flow on standard error, each with its place and the remedy."""
    for warning in warnings:
        advice = f"; {warning.hint}" if warning.hint else ""
        sys.stderr.write(f"{warning.position}: warning: {warning.message}{advice}\n")


def read_text(file: Path) -> str:
    """The text of `file`. Raises UsageError when it can't be read."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"the file can't be read: {error.strerror}", where=str(file)) from None
    except UnicodeDecodeError:
        raise UsageError("the file is not UTF-8 text", where=str(file)) from None


def find_lock(flow: Path) -> Path | None:
    """The lock that holds the file `flow`'s actions to commits: `flow.lock` beside it, if there is one."""
    file = flow.parent / "flow.lock"
    return file if file.exists() else None


def read_lock(flow: Path) -> ReadLock | None:
    """The lock beside the file `flow`; None without one. Raises UsageError when it is not valid."""
    file = find_lock(flow)
    if file is None:
        return None
    from agent.resolve.lock import parse_lock, read_lock_text

    text = read_lock_text(file)
    return ReadLock(text, parse_lock(text, str(file)).pins)


def read_pins(flow: Path) -> Mapping[str, str] | None:
    """The pins of the lock beside the file `flow`; None without one. Raises UsageError when it is not valid."""
    lock = read_lock(flow)
    return None if lock is None else lock.pins


def read_event(files: Sequence[str]) -> Mapping[str, object]:
    """The event's payload; empty without a file. Raises UsageError when it is not a JSON object, or there are several."""
    if len(files) > 1:
        raise UsageError("an event has one file", where="--event-file")
    return read_object(Path(files[0]), "the event") if files else {}


def read_object(file: Path, what: str) -> dict[str, object]:
    """The JSON object in a file; `what` says what it is. Raises UsageError when it is none."""
    import json

    try:
        found = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"not valid JSON: {error}", where=str(file)) from None
    if not isinstance(found, dict):
        raise UsageError(f"{what} is not a JSON object", where=str(file))
    return found


def read_inputs(given: list[str], file: Path | None) -> dict[str, object]:
    """Inputs of the command line, by name: those of `--input`, over those in `file` (YAML or JSON). Raises UsageError."""
    inputs: dict[str, object] = {}
    if file is not None:
        from agent.flow.inputs import unwrap_inputs
        from agent.flow.source import plain, read_source

        document = plain(read_source(read_text(file), str(file)))
        if not isinstance(document, dict):
            hint = "as in {echo: {value: hi}, data: {id: images}}"
            raise UsageError("the inputs are no mapping from names to values", where=str(file), hint=hint)
        inputs |= unwrap_inputs(document)
    return {**inputs, **dict(split_pair(pair, "--input") for pair in given)}


def read_secrets(given: list[str], file: Path | None) -> dict[str, str]:
    """Secrets of the command line, by name. Those without a value come from the environment."""
    secrets: dict[str, str] = {}
    for number, line in enumerate(read_text(file).splitlines() if file else [], start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, value = split_pair(line, f"{file}:{number}")
            secrets[name.strip()] = _unquoted(value.strip())
    for text in given:
        name, equals, value = text.partition("=")
        if not equals and name not in os.environ:
            raise UsageError(
                f"secret {name} has no value",
                where="--secret",
                hint=f"set ${name}, or write --secret {name}=…",
            )
        secrets[name] = value if equals else os.environ[name]
    return secrets


def _unquoted(value: str) -> str:
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if is_quoted else value
