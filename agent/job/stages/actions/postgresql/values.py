r"""PostgreSQL's values, which come as text, as JSON.

Booleans, whole numbers and floats become JSON's; `NaN` and the infinities stay text, for JSON has none. `numeric` stays
text, for a float would change it. `json` and `jsonb` become what they say. Arrays of these and of text become lists.
All else (dates in ISO form and UTC, uuid, bytea as `\x...`, enums, domains, ranges) is the text that PostgreSQL writes.
"""

import math
from collections.abc import Callable, Iterator

from agent.job.stages.actions.connecting.bodies import read_json
from agent.job.stages.stage import StageError, Value

_ENDS = frozenset(',}"')


def read_value(text: str, type_oid: int) -> Value:
    """The JSON value of a column's text."""
    if type_oid in _ELEMENTS:
        return _read_array(text, _ELEMENTS[type_oid])
    read = _SCALARS.get(type_oid)
    return read(text) if read else text


def _read_float(text: str) -> Value:
    number = float(text)
    return number if math.isfinite(number) else text


def _read_json(text: str) -> Value:
    try:
        return read_json(text)
    except StageError:  # jsonb has numbers that no float holds
        return text


_SCALARS: dict[int, Callable[[str], Value]] = {
    16: lambda text: text == "t",
    20: int,
    21: int,
    23: int,
    26: int,
    114: _read_json,
    700: _read_float,
    701: _read_float,
    3802: _read_json,
}
_ELEMENTS = {  # of arrays
    199: 114,
    1000: 16,
    1001: 17,
    1005: 21,
    1007: 23,
    1009: 25,
    1014: 1042,
    1015: 1043,
    1016: 20,
    1021: 700,
    1022: 701,
    1028: 26,
    1115: 1114,
    1182: 1082,
    1185: 1184,
    1231: 1700,
    2951: 2950,
    3807: 3802,
}


def _read_array(text: str, element: int) -> Value:
    r"""`{1,NULL,"a \"b\""}`, `[0:1]={1,2}` and arrays of arrays."""
    body = text.partition("=")[2] if text.startswith("[") else text
    return _read_items(iter(body[1:]), element)


def _read_items(rest: Iterator[str], element: int) -> list[Value]:
    items: list[Value] = []
    for char in rest:
        if char == "}":
            break
        if char == ",":
            continue
        if char == "{":
            items.append(_read_items(rest, element))
        elif char == '"':
            items.append(read_value(_read_quoted(rest), element))
        else:
            word, end = _read_word(char, rest)
            items.append(None if word == "NULL" else read_value(word, element))
            if end == "}":
                break
    return items


def _read_quoted(rest: Iterator[str]) -> str:
    found = []
    for char in rest:
        if char == '"':
            break
        found.append(next(rest) if char == "\\" else char)
    return "".join(found)


def _read_word(first: str, rest: Iterator[str]) -> tuple[str, str]:
    found = [first]
    for char in rest:
        if char in _ENDS:
            return "".join(found), char
        found.append(char)
    return "".join(found), "}"
