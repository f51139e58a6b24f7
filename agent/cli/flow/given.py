"""Inputs, further arguments and the caller's environment: all that the command line gives a flow that it starts."""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from agent.cli.local_files.files import read_inputs, read_secrets
from agent.cli.terminal.spelling import find_meant
from agent.errors import UsageError
from agent.flow.inputs import is_named_as_secret
from agent.flow.load import find_front_end
from agent.flow.model import Flow, Input, TriggerKind
from agent.plan.chosen import choose_jobs


@dataclass(frozen=True, slots=True)
class Given:
    """What a run is started with, by name."""

    inputs: dict[str, object] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    options: list[tuple[str, str]] = field(default_factory=list)  # of the language, over what the jobs say


def read_given(flow: Flow, jobs: Sequence[str], arguments: argparse.Namespace) -> Given:
    """The inputs and secrets of a run of these jobs of the flow. Raises UsageError for a word that nobody knows."""
    given = Given(
        read_inputs(arguments.input, arguments.input_file),
        read_secrets(arguments.secret, arguments.secret_file),
    )
    chosen = choose_jobs(flow, jobs)
    trigger = flow.trigger_of(TriggerKind.BY_HAND)
    inputs = [one for one in trigger.inputs if not one.jobs or set(one.jobs) & set(chosen)] if trigger else []
    _take_words(flow, inputs, arguments, given)
    _take_environment(inputs, given)
    return given


def _take_words(flow: Flow, inputs: Sequence[Input], arguments: argparse.Namespace, given: Given) -> None:
    """`--KEY VALUE` for an input of the flow; all else is an argument, where the flow takes any."""
    declared = {_loosen(one.name): one for one in inputs}
    taking = declared.get(_loosen(flow.dialect.arguments_input or " "))
    options = find_front_end(flow.dialect.name).options
    if "env" in options:  # of a local run it is the command's own option, for jobs that say nothing else
        given.options.extend(("env", pair) for pair in getattr(arguments, "env", ()))
    further: list[str] = []
    words = iter(arguments.free)
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        known = declared.get(_loosen(name)) if word.startswith("--") else None
        if known is not None:
            is_flag = known.type == "boolean"
            given.inputs[known.name] = value if equals else _take_value(word, words, is_flag=is_flag)
        elif word.startswith("--") and name in options:
            taken = value if equals else _take_value(word, words, is_flag=not options[name])
            given.options.append((name, taken))
        elif taking is not None:
            further.append(word)
            _doubt(word, declared)
        else:
            raise _refuse(flow, word, inputs, arguments.unknown)
    further += arguments.rest
    if further and taking is None:
        raise _refuse(flow, further[0], inputs, None)
    if further and taking is not None:
        import shlex

        given.inputs[taking.name] = shlex.join(further)


def _doubt(word: str, declared: Mapping[str, Input]) -> None:
    """Say of an option that is handed on as an argument, and is nearly an input, that it may be a mistake."""
    meant = find_meant(word.partition("=")[0], [f"--{name}" for name in declared if "." not in name])
    if word.startswith("--") and meant:
        sys.stderr.write(f"warning: {word} is handed on as an argument; was {meant} meant?\n")


def _take_value(word: str, words: Iterator[str], *, is_flag: bool) -> str:
    if is_flag:
        return "true"
    value = next(words, None)
    if value is None:
        raise UsageError(f"{word} needs a value")
    return value


def write_options(flow: Flow, jobs: Sequence[str], given: Given) -> dict[str, str]:
    """The companion of the flow that says the given options; none where none were."""
    write = find_front_end(flow.dialect.name).write_overrides
    if not given.options or write is None:
        return {}
    path, text = write(jobs, given.options)
    return {path: text}


def _refuse(flow: Flow, word: str, inputs: Sequence[Input], unknown: UsageError | None) -> UsageError:
    if not word.startswith("-"):
        return UsageError(f"'{word}' is a word too many", where=flow.file, hint="the flow takes no arguments")
    name = word.partition("=")[0]
    if unknown is not None and unknown.hint.startswith("did you mean"):
        return unknown
    own = [f"--{one.name}" for one in inputs if not one.variable]
    meant = find_meant(name, own)
    hint = f"did you mean {meant}?" if meant else f"it has {', '.join(own)}" if own else "it has no inputs"
    return UsageError(
        f"there is no option '{name}', and no such input of the flow", where=flow.file, hint=hint
    )


def _take_environment(inputs: Sequence[Input], given: Given) -> None:
    for one in inputs:
        value = os.environ.get(one.variable, "") if one.variable else ""
        if not value or one.name in given.inputs or one.variable in given.secrets:
            continue
        if is_named_as_secret(one.variable):  # encrypted on its way, and masked
            given.secrets[one.variable] = value
        else:
            given.inputs[one.name] = value


def _loosen(name: str) -> str:
    return name.lower().replace("_", "-")
