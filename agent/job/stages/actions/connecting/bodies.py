"""Bytes that came out of a stream, as records."""

import base64
import json
import math
from collections.abc import Mapping

from agent.job.stages.stage import StageError, Value

MOST_BYTES = 1 << 20  # of a record, unless its trigger's `most_bytes` says otherwise
_SHOWN_BYTES = 64 << 10  # of what is no record, in its dead letter


def read_body(data: bytes, form: str, most_bytes: int) -> Value:
    """The record that the bytes are: `json`, `text` (UTF-8) or `base64` of them. Raises StageError, for good."""
    if len(data) > most_bytes:
        raise StageError(
            f"the record has {len(data):,} bytes: more than {most_bytes:,} (most_bytes)", is_final=True
        )
    if form == "base64":
        return base64.b64encode(data).decode("ascii")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StageError(
            f"the record is no UTF-8 text: {error.reason} at byte {error.start}", is_final=True
        ) from None
    return text if form == "text" else read_json(text)


def read_json(text: str) -> Value:
    """JSON as RFC 8259 has it: no NaN, no halves of characters, no nesting that exhausts the reader. Raises StageError."""
    try:
        value: Value = json.loads(text, parse_constant=_refuse_constant, parse_float=_read_float)
        if "\\u" in text:  # half a surrogate pair can be written in JSON, and not be sent on
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise StageError("the record is nested too deeply", is_final=True) from None
    except ValueError as error:
        raise StageError(f"the record is no JSON: {error}", is_final=True) from None
    return value


def show_raw(data: bytes) -> Mapping[str, object]:
    """What is no record, for its dead letter: its size, and its first 64 KiB as text where it is text, else in base64."""
    head = data[:_SHOWN_BYTES]
    try:
        shown: dict[str, object] = {"text": head.decode("utf-8")}
    except UnicodeDecodeError:
        shown = {"base64": base64.b64encode(head).decode("ascii")}
    return {"bytes": len(data), **shown}


def _read_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
