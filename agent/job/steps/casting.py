"""Inputs cast to the types that their action declares. What a type can't hold is refused: nothing is cut or guessed."""

import math
from collections.abc import Callable, Mapping
from typing import Final

from agent import codec
from agent.errors import AgentError
from agent.flow.expressions import write_value
from agent.resolve.manifests.model import ActionInput

_TRUE: Final = ("true", "1", "yes", "on")
_FALSE: Final = ("false", "0", "no", "off")
_SHOWN: Final = 80


def cast_input(declared: ActionInput, value: object, place: str) -> object:
    """`value`, which is there, as the input's type. Raises AgentError for what that can't hold, and for none of its options."""
    cast = _CASTS.get(declared.type)
    try:
        found = value if cast is None else cast(value)
        options = [option if cast is None else cast(option) for option in declared.options]
    except (ValueError, TypeError):
        raise AgentError(
            f"the input '{declared.name}' is {_ARTICLES.get(declared.type, declared.type)}, not {_show(value)}",
            where=place,
        ) from None
    if options and found not in options:
        shown = ", ".join(write_value(option) for option in options)
        raise AgentError(f"the input '{declared.name}' is one of {shown}, not {_show(value)}", where=place)
    return found


def _cast_integer(value: object) -> int:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, int):
        return value
    number = float(value) if isinstance(value, float) else _read_number(value)
    if not number.is_integer():
        raise ValueError
    return int(value) if isinstance(value, str) and value.strip().lstrip("+-").isdigit() else int(number)


def _cast_float(value: object) -> float:
    if isinstance(value, bool):
        raise TypeError
    number = float(value) if isinstance(value, int | float) else _read_number(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _read_number(value: object) -> float:
    if not isinstance(value, str):
        raise TypeError
    return float(value)


def _cast_boolean(value: object) -> bool:
    text = write_value(value).strip().lower()
    if text not in _TRUE + _FALSE:
        raise ValueError
    return text in _TRUE


def _cast_array(value: object) -> list[object]:
    if isinstance(value, str):
        value = codec.load_standard(value)
    if not isinstance(value, list | tuple):
        raise TypeError
    return list(value)


def _show(value: object) -> str:
    text = write_value(value)
    return f"'{text}'" if len(text) <= _SHOWN else f"'{text[:_SHOWN]}…'"


_CASTS: Final[Mapping[str, Callable[[object], object]]] = {
    "string": write_value,
    "integer": _cast_integer,
    "float": _cast_float,
    "boolean": _cast_boolean,
    "array": _cast_array,
}
_ARTICLES: Final = {
    "integer": "an integer",
    "float": "a number",
    "boolean": "true or false",
    "array": "a list",
}
