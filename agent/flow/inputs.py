"""Values for a flow's declared inputs: defaults, what is required, and text made into numbers and booleans.

A form, a command line and an API hand over text; another flow hands over typed values. What reaches the `inputs` context
is typed (`github.event.inputs` stays text). A value may also say what it is: `{value: TEXT}` of a text, `{id: NAME}` (or `ref`) of
a dataset's version, and a whole file of them may stand under `inputs`.

Source: GitHub's documentation of `workflow_dispatch` and `workflow_call`; Paperspace's of a workflow run's inputs.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

from agent.flow.expressions import has_expression, to_number, to_text
from agent.flow.model import Input, Trigger
from agent.flow.problems import Problem

Value = str | bool | int | float
DATASET: Final = (
    "dataset"  # a type of inputs: the name of a dataset, with the version where it is not the latest
)
_SECRET: Final = ("KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL")
_BOOLEANS: Final = {"true": True, "false": False}
_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {DATASET: ("id", "ref")}  # by type; of all others `value`
_DATASET: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}(?::[A-Za-z0-9][A-Za-z0-9._-]{0,127})?")
_EMPTY: Final[Mapping[str, Value]] = {"boolean": False, "number": 0}


def is_named_as_secret(variable: str) -> bool:
    """Whether a variable of somebody's environment is called as secrets are."""
    return any(word in variable.upper() for word in _SECRET)


def unwrap_inputs(document: Mapping[str, object]) -> Mapping[str, object]:
    """The values of a document by name: they stand in it, or in its only member `inputs`."""
    inner = document.get("inputs")
    is_wrapped = len(document) == 1 and isinstance(inner, Mapping) and not _is_form(inner)
    return inner if is_wrapped and isinstance(inner, Mapping) else document


def resolve_inputs(trigger: Trigger, given: Mapping[str, object]) -> tuple[dict[str, Value], list[Problem]]:
    """The value of every declared input, by its declared name, and what is wrong with those that were given.

    Names are compared without case. A default that holds an expression comes back as it was written: only who has the
    contexts can evaluate it. Positions are those of the inputs where they are known, else of the trigger.
    """
    declared = {declaration.name.lower(): declaration for declaration in trigger.inputs}
    values_given = given if "inputs" in declared else unwrap_inputs(given)
    by_name = {name.lower(): value for name, value in values_given.items()}
    problems = [
        Problem(
            trigger.position,
            f"Invalid input, {name} is not defined in the flow.",
            f"declared: {', '.join(item.name for item in trigger.inputs)}"
            if declared
            else "it declares no inputs",
        )
        for name in values_given
        if name.lower() not in declared
    ]
    values: dict[str, Value] = {}
    for key, declaration in declared.items():
        value, complaint = _resolve(declaration, by_name.get(key))
        values[declaration.name] = value
        if complaint:
            problems.append(Problem(declaration.position or trigger.position, complaint))
    return values, problems


def convert_input(declaration: Input, value: Value) -> tuple[Value, str]:
    """`value` as the type that the input declares, and what is wrong with it, or nothing."""
    text = to_text(value)
    if declaration.type == "boolean":
        converted = value if isinstance(value, bool) else _BOOLEANS.get(text.strip().lower())
        if converted is None:
            return False, f"Input {declaration.name} must be true or false, not '{text}'."
        return converted, ""
    if declaration.type == "number":
        number = to_number(value)
        if isinstance(value, bool) or math.isnan(number) or not text.strip():
            return 0, f"Input {declaration.name} must be a number, not '{text}'."
        return (int(number) if number.is_integer() else number), ""
    if declaration.type == DATASET and not _DATASET.fullmatch(text):
        return "", f"Input {declaration.name} must name a dataset, such as images or images:3, not '{text}'."
    if declaration.type == "choice" and text not in declaration.options:
        options = ", ".join(declaration.options)
        return text, f"Input {declaration.name} must be one of {options}, not '{text}'."
    return text, ""


def _resolve(declaration: Input, found: object) -> tuple[Value, str]:
    given, complaint = _take_value(declaration, found)
    if complaint:
        return "", complaint
    if given is not None and not (given == "" and declaration.type != "string"):
        return convert_input(declaration, given)
    default = declaration.default
    if default is not None and not (default == "" and declaration.type != "string"):
        if isinstance(default, str) and has_expression(default):
            return default, ""
        if isinstance(default, str | bool | int | float):
            return convert_input(declaration, default)
    if declaration.required:
        return _EMPTY.get(declaration.type, ""), f"Input {declaration.name} is required, but not provided."
    if declaration.type == "choice" and declaration.options:
        return declaration.options[0], ""  # what a form shows first
    return _EMPTY.get(declaration.type, ""), ""


def _take_value(declaration: Input, given: object) -> tuple[Value | None, str]:
    """The value in what was given, and what is wrong with its form."""
    if not isinstance(given, Mapping):
        if given is None or isinstance(given, str | bool | int | float):
            return given, ""
        return None, f"Input {declaration.name} must be one value, not a list."
    takes = _MEMBERS.get(declaration.type, ("value",))
    if not _is_form(given) or not given.keys() <= set(takes):
        said = ", ".join(str(name) for name in given) or "nothing"
        return None, f"Input {declaration.name} is a {declaration.type}: give its '{takes[0]}', not {said}."
    (value,) = given.values()
    if value is not None and not isinstance(value, str | bool | int | float):
        return None, f"Input {declaration.name}: its '{next(iter(given))}' must be one value."
    return value, ""


def _is_form(given: Mapping[str, object]) -> bool:
    """Whether a mapping is one value that says what it is."""
    return len(given) == 1 and next(iter(given)) in ("value", "id", "ref")
