"""Bytes that came out of a stream, as records."""

import base64
from collections.abc import Mapping

from agent.job.stages.json_lines import load
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
    """JSON as RFC 8259 has it. Raises StageError."""
    try:
        value: Value = load(text)
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
