"""Dataclass to JSON and back, by the fields' types: the one way that our records become text.

Understood types: str, int, float, bool, bytes (base64 text), paths, `object` and `Any` (any JSON), enums of text,
`X | None`, `tuple[X, ...]`, `Mapping[str, X]`, NewTypes, dataclasses of these, and unions of dataclasses that have a
`KIND`, which their key `kind` tells apart (one whose KIND is empty takes what no other knows). Unknown keys are ignored, so
that a newer writer can add one; a missing key takes the field's default or is an error.

A dataclass whose JSON has other keys than it has fields turns one into the other: `to_form(fields)` and `from_form(data)`,
static methods from a dict to a dict.

What we wrote ourselves is read with Python's JSON, which has words for numbers that are not finite. What a stranger wrote
is read by `load_standard`.
"""

import base64
import binascii
import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, NewType, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from agent.errors import DamagedError

T = TypeVar("T")
_Reader = Callable[[Any, str], Any]


def to_json(value: object) -> Any:
    """`value` as plain JSON data: dicts, lists, text, numbers, bools, None."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return value
    if hasattr(value, "__fspath__"):
        return value.__fspath__()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    if dataclasses.is_dataclass(value):
        return {name: to_json(item) for name, item in _fields_of(value).items()}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def load_standard(text: str | bytes) -> Any:
    """The data in `text`, JSON as its standard has it. Raises ValueError, also when it is nested too deeply.

    Python would read NaN and Infinity too, and nobody that we hand them to could.
    """
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def refuse_constant(name: str) -> NoReturn:
    """For `parse_constant` of Python's JSON. Raises ValueError."""
    raise ValueError(f"{name} is not JSON")


def tag(kind: object, record: object) -> dict[str, object]:
    """The fields of a dataclass, for `dump`, behind a key `kind` that says which one it is."""
    return {"kind": kind, **_fields_of(record)}


def from_json(kind: type[T], data: object, *, where: str = "") -> T:
    """The `kind` (a dataclass) that `data` describes.

    Raises DamagedError naming the key when something is missing or of the wrong type.
    """
    record: T = _reader(kind)(data, where or kind.__name__)
    return record


def dump(value: object) -> str:
    """`to_json(value)` as one line of JSON text. (The encoder walks what it knows itself, which is most, in C.)"""
    return _ENCODE(value)


def parse(kind: type[T], text: str | bytes, *, where: str = "") -> T:
    """The `kind` written in `text`. Raises DamagedError when it is not JSON or not of that form."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"not valid JSON: {error}", where=where or kind.__name__) from None
    return from_json(kind, data, where=where)


def _open_up(value: object) -> object:
    """One level of a value that JSON has no word for, for the encoder to go on with."""
    if dataclasses.is_dataclass(value):
        return _fields_of(value)
    return dict(value) if isinstance(value, Mapping) else to_json(value)


def _fields_of(record: object) -> dict[str, object]:
    kind: Any = type(record)
    return _opener(kind)(record)


@cache
def _opener(kind: Any) -> Callable[[object], dict[str, object]]:
    names = tuple(field.name for field in dataclasses.fields(kind))
    to_form = getattr(kind, "to_form", None)
    if to_form is None:
        return lambda record: {name: getattr(record, name) for name in names}
    return lambda record: to_form({name: getattr(record, name) for name in names})


_ENCODE = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=_open_up).encode


def _reader(kind: Any) -> _Reader:
    return _make_reader(kind)


@cache
def _make_reader(kind: Any) -> _Reader:
    """The function that reads a value of the type `kind`."""
    if isinstance(kind, NewType):
        return _reader(kind.__supertype__)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _union_reader(arguments)
    if origin is tuple:
        return _tuple_reader(arguments[0])
    if origin is not None and issubclass(origin, Mapping):
        return _mapping_reader(arguments[1])
    if kind in _PLAIN_READERS:
        return _PLAIN_READERS[kind]
    if hasattr(kind, "__fspath__"):
        return _path_reader(kind)
    if dataclasses.is_dataclass(kind):
        return _dataclass_reader(kind)
    if issubclass(kind, Enum):
        return _enum_reader(kind)
    return _scalar_reader(kind)


def _union_reader(arguments: tuple[Any, ...]) -> _Reader:
    inner = [argument for argument in arguments if argument is not type(None)]
    read = _reader(inner[0]) if len(inner) == 1 else _tagged_reader(inner)
    if len(inner) == len(arguments):
        return read
    return lambda data, where: None if data is None else read(data, where)


def _tagged_reader(kinds: list[Any]) -> _Reader:
    readers: dict[object, _Reader] = {kind.KIND: _reader(kind) for kind in kinds}

    def read_tagged(data: Any, where: str) -> Any:
        _expect(isinstance(data, dict), data, "an object", where)
        kind = data.get("kind")
        read = readers.get(kind if isinstance(kind, str) else None, readers.get(""))
        if read is None:
            raise DamagedError(f"{str(kind)[:80]!r} is none of {', '.join(map(str, readers))}", where=where)
        return read(data, where)

    return read_tagged


def _tuple_reader(item: Any) -> _Reader:
    read = _reader(item)

    def read_tuple(data: Any, where: str) -> tuple[Any, ...]:
        _expect(isinstance(data, list), data, "a list", where)
        return tuple(read(entry, f"{where}[{index}]") for index, entry in enumerate(data))

    return read_tuple


def _mapping_reader(item: Any) -> _Reader:
    read = _reader(item)

    def read_mapping(data: Any, where: str) -> dict[str, Any]:
        _expect(isinstance(data, dict), data, "an object", where)
        return {key: read(entry, f"{where}.{key}") for key, entry in data.items()}

    return read_mapping


def _dataclass_reader(kind: Any) -> _Reader:
    hints = get_type_hints(kind)
    fields = [
        (field.name, _reader(hints[field.name]), _is_required(field)) for field in dataclasses.fields(kind)
    ]

    from_form = getattr(kind, "from_form", None)

    def read_dataclass(data: Any, where: str) -> Any:
        _expect(isinstance(data, dict), data, "an object", where)
        data = data if from_form is None else from_form(data)
        values = {}
        for name, read, required in fields:
            if name in data:
                values[name] = read(data[name], f"{where}.{name}")
            elif required:
                raise DamagedError(f"'{name}' is missing", where=where)
        return kind(**values)

    return read_dataclass


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _enum_reader(kind: type[Enum]) -> _Reader:
    def read_enum(data: Any, where: str) -> Enum:
        try:
            return kind(data)
        except ValueError:
            raise DamagedError(f"{data!r} is not a {kind.__name__}", where=where) from None

    return read_enum


def _scalar_reader(kind: type) -> _Reader:
    def read_scalar(data: Any, where: str) -> Any:
        matches = isinstance(data, kind) and not (kind is int and isinstance(data, bool))
        _expect(matches, data, kind.__name__, where)
        return data

    return read_scalar


def _read_float(data: Any, where: str) -> float:
    _expect(isinstance(data, (int, float)) and not isinstance(data, bool), data, "a number", where)
    return float(data)


def _path_reader(kind: Any) -> _Reader:
    def read_path(data: Any, where: str) -> Any:
        _expect(isinstance(data, str), data, "a path", where)
        return kind(data)

    return read_path


def _read_bytes(data: Any, where: str) -> bytes:
    _expect(isinstance(data, str), data, "base64 text", where)
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise DamagedError("not base64 text", where=where) from None


def _pass_on(data: Any, _where: str) -> Any:
    return data


def _expect(holds: bool, data: object, wanted: str, where: str) -> None:  # noqa: FBT001 - an assertion with a message
    if not holds:
        raise DamagedError(f"expected {wanted}, found {type(data).__name__}", where=where)


_PLAIN_READERS: dict[Any, _Reader] = {object: _pass_on, Any: _pass_on, bytes: _read_bytes, float: _read_float}
