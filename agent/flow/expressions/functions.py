"""The functions that every expression knows. `case` is not here: it is a control structure (see evaluate.py).

Source: actions/runner `Expressions2/Sdk/Functions/*.cs`; the words of fromJSON's errors: languageservices.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from agent.flow.expressions.errors import ExpressionError, ResultTooLargeError
from agent.flow.expressions.json_text import to_json_text
from agent.flow.expressions.values import (
    WHITESPACE,
    fold_case,
    is_array,
    is_primitive,
    kind_of,
    loose_equal,
    simplify_number,
    to_text,
)

MAX_ARGUMENTS = 255


class FunctionInfo(NamedTuple):
    """A function that may be called: its name as written, and how many arguments it takes."""

    name: str
    min_args: int
    max_args: int


# Arguments, and how many characters the result may have (ResultTooLargeError beyond).
Builtin = Callable[[Sequence[object], int], object]

# An escaped brace, a field with what .NET calls format specifiers, or a brace that has no business being there.
_FIELD = re.compile(r"\{\{|\}\}|\{([0-9]++)(?::((?:[^}]|\}\})*+))?\}|[{}]")


def call_contains(arguments: Sequence[object], _max_length: int) -> bool:
    """contains(search, item): a substring, or an element that is == to the item."""
    search, item = arguments
    if is_array(search):
        return any(loose_equal(item, element) for element in search)
    if is_primitive(search) and is_primitive(item):
        return fold_case(to_text(item)) in fold_case(to_text(search))
    return False


def call_starts_with(arguments: Sequence[object], _max_length: int) -> bool:
    """startsWith(text, prefix), without regard to case; false when either is an array or an object."""
    if not all(map(is_primitive, arguments)):
        return False
    text, prefix = (fold_case(to_text(argument)) for argument in arguments)
    return text.startswith(prefix)


def call_ends_with(arguments: Sequence[object], _max_length: int) -> bool:
    """endsWith(text, suffix), without regard to case; false when either is an array or an object."""
    if not all(map(is_primitive, arguments)):
        return False
    text, suffix = (fold_case(to_text(argument)) for argument in arguments)
    return text.endswith(suffix)


def call_format(arguments: Sequence[object], max_length: int) -> str:
    """format(text, value...): `{0}` is the first value, `{{` and `}}` are braces."""
    template = to_text(arguments[0])
    values = arguments[1:]
    parts: list[str] = []
    position = length = 0
    for match in _FIELD.finditer(template):
        parts += (template[position : match.start()], _expand_field(match, values, template))
        position = match.end()
        length += len(parts[-1]) + len(parts[-2])
        if length > max_length:
            raise ResultTooLargeError
    return "".join([*parts, template[position:]])


def call_join(arguments: Sequence[object], max_length: int) -> str:
    """join(array, separator=','): a primitive is its own text, an object is empty."""
    items = arguments[0]
    if is_primitive(items):
        return to_text(items)
    if not is_array(items):
        return ""
    separator = to_text(arguments[1]) if len(arguments) > 1 and is_primitive(arguments[1]) else ","
    texts = [to_text(item) for item in items]
    if sum(map(len, texts)) + len(separator) * len(texts) > max_length:
        raise ResultTooLargeError
    return separator.join(texts)


def call_to_json(arguments: Sequence[object], max_length: int) -> str:
    """toJSON(value)."""
    return to_json_text(arguments[0], max_length=max_length)


def call_from_json(arguments: Sequence[object], _max_length: int) -> object:
    """fromJSON(text)."""
    text = to_text(arguments[0])
    if not text.strip(WHITESPACE):
        raise ExpressionError("evaluation", "empty input")
    try:
        return json.loads(
            text,
            parse_int=_read_json_number,
            parse_float=_read_json_number,
            parse_constant=_refuse_json_constant,
            object_pairs_hook=_build_object,
        )
    except ValueError as error:
        raise ExpressionError("evaluation", f"Error parsing JSON when evaluating fromJson: {error}") from None
    except RecursionError:
        raise ExpressionError(
            "evaluation", "Error parsing JSON when evaluating fromJson: nested too deeply"
        ) from None


def _expand_field(match: re.Match[str], values: Sequence[object], template: str) -> str:
    field, digits, specifiers = match[0], match[1], match[2]
    if field in {"{{", "}}"}:
        return field[0]
    # The runner reads the index into a byte.
    if digits is None or len(digits.lstrip("0")) > 3 or int(digits) > MAX_ARGUMENTS:
        raise ExpressionError("evaluation", f"The following format string is invalid: {template}")
    if int(digits) >= len(values):
        complaint = "The following format string references more arguments than were supplied"
        raise ExpressionError("evaluation", f"{complaint}: {template}")
    value = values[int(digits)]
    if specifiers:
        complaint = f"are not valid for objects of type '{kind_of(value)}'"
        raise ExpressionError(
            "evaluation", f"The format specifiers '{specifiers.replace('}}', '}')}' {complaint}"
        )
    return to_text(value)


def _read_json_number(digits: str) -> int | float:
    return simplify_number(float(digits))


def _refuse_json_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    """Names that differ only in case are one property, and the first of them stays."""
    result: dict[str, object] = dict(pairs)
    firsts: dict[str, str] = {}
    for name in result:
        firsts.setdefault(fold_case(name), name)
    return result if len(firsts) == len(result) else {name: result[name] for name in firsts.values()}


CASE = FunctionInfo("case", 3, MAX_ARGUMENTS)

BUILTINS: Mapping[str, tuple[FunctionInfo, Builtin]] = {
    "contains": (FunctionInfo("contains", 2, 2), call_contains),
    "endswith": (FunctionInfo("endsWith", 2, 2), call_ends_with),
    "format": (FunctionInfo("format", 1, MAX_ARGUMENTS), call_format),
    "fromjson": (FunctionInfo("fromJSON", 1, 1), call_from_json),
    "join": (FunctionInfo("join", 1, 2), call_join),
    "startswith": (FunctionInfo("startsWith", 2, 2), call_starts_with),
    "tojson": (FunctionInfo("toJSON", 1, 1), call_to_json),
}


def find_function(name: str, extra: Mapping[str, FunctionInfo]) -> FunctionInfo | None:
    """The function of that name, lower-case: a built-in one, or one of `extra` (whose keys are lower-case)."""
    if name == CASE.name:
        return CASE
    if name in BUILTINS:
        return BUILTINS[name][0]
    return extra.get(name)
