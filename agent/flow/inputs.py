"""Values for a flow's declared inputs: defaults, what is required, and text made into numbers and booleans.

A form, a command line and an API hand over text; another flow hands over typed values. What reaches the `inputs` context
is typed (`github.event.inputs` stays text). Source: GitHub's documentation of `workflow_dispatch` and `workflow_call`.
"""

import math
from collections.abc import Mapping
from typing import Final

from agent.flow.expressions import has_expression, to_number, to_text
from agent.flow.model import Input, Trigger
from agent.flow.problems import Problem

Value = str | bool | int | float
_BOOLEANS: Final = {"true": True, "false": False}
_EMPTY: Final[Mapping[str, Value]] = {"boolean": False, "number": 0}


def resolve_inputs(trigger: Trigger, given: Mapping[str, Value]) -> tuple[dict[str, Value], list[Problem]]:
    """The value of every declared input, by its declared name, and what is wrong with those that were given.

    Names are compared without case. A default that holds an expression comes back as it was written: only who has the
    contexts can evaluate it. Positions are those of the trigger.
    """
    declared = {declaration.name.lower(): declaration for declaration in trigger.inputs}
    by_name = {name.lower(): value for name, value in given.items()}
    problems = [
        Problem(
            trigger.position,
            f"Invalid input, {name} is not defined in the flow.",
            f"declared: {', '.join(item.name for item in trigger.inputs)}"
            if declared
            else "it declares no inputs",
        )
        for name in given
        if name.lower() not in declared
    ]
    values: dict[str, Value] = {}
    for key, declaration in declared.items():
        value, complaint = _resolve(declaration, by_name.get(key))
        values[declaration.name] = value
        if complaint:
            problems.append(Problem(trigger.position, complaint))
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
    if declaration.type == "choice" and text not in declaration.options:
        options = ", ".join(declaration.options)
        return text, f"Input {declaration.name} must be one of {options}, not '{text}'."
    return text, ""


def _resolve(declaration: Input, given: Value | None) -> tuple[Value, str]:
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
