"""JSON texts and lines of JSON, as their standard has them: by msgspec where it is installed, else by Python's own."""

import contextlib
import json
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from agent.codec import load_standard

msgspec: Any = None
with contextlib.suppress(ImportError):  # the extra [streams] brings it
    msgspec = import_module("msgspec")

_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def load(text: str | bytes) -> Any:
    """The data in `text`. Raises ValueError."""
    if msgspec is None:
        return load_standard(text)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None


def load_lines(lines: Sequence[bytes]) -> list[Any]:
    """The data of lines, one each. Raises ValueError when one of them is no JSON."""
    try:
        return list(map(_LOAD, lines))
    except _NO_JSON as error:
        raise ValueError(str(error)) from None


def dump(value: object) -> bytes:
    """`value` as one line, without its end. Raises ValueError, or TypeError, when it is no JSON data."""
    if msgspec is None:
        return _ENCODER.encode(value).encode("utf-8", "backslashreplace")
    return bytes(msgspec.json.encode(value))


def dump_lines(values: Sequence[object]) -> bytes:
    """`values`, a line each."""
    if msgspec is None:
        return b"".join(dump(value) + b"\n" for value in values)
    return bytes(_LINES.encode_lines(values))


# Not `decode_lines`: it takes what stands on two lines for one value, and two values on a line for two.
_LOAD = load_standard if msgspec is None else msgspec.json.Decoder().decode
_NO_JSON: tuple[type[Exception], ...] = (ValueError, RecursionError)
if msgspec is not None:
    _NO_JSON = (*_NO_JSON, msgspec.DecodeError)
    _LINES = msgspec.json.Encoder()
