"""Build output, from either builder, as lines.

The classic builder sends text. BuildKit sends its own status: protocol buffers, as base64 in `aux`. Of those we read what people
want to see: the name of each instruction when it begins, whether it was cached, and its output.

Source: moby/buildkit `api/services/control/control.proto` (StatusResponse, Vertex, VertexLog).
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from agent.containers.engine import Say

_TRACE = "moby.buildkit.trace"
# Fields: of StatusResponse, of Vertex, of VertexLog.
_VERTEXES, _LOGS = 1, 3
_DIGEST, _NAME, _CACHED, _STARTED = 1, 3, 4, 5
_LOG_VERTEX, _MESSAGE = 1, 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types

Message = dict[int, list[Any]]  # field -> its values, numbers or bytes


class BuildProgress:
    """Gives the events of one build to `say`, line by line."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._begun: set[bytes] = set()
        self._open: dict[bytes, bytes] = {}  # by instruction: output without the end of its line

    def take(self, event: Mapping[str, Any]) -> None:
        """Tell one event. One that is not understood says nothing."""
        if event.get("id") == _TRACE and isinstance(event.get("aux"), str):
            self._take_status(read_message(base64.b64decode(event["aux"])))
            return
        for line in str(event.get("stream") or "").split("\n"):  # what came together is told together
            if line:
                self._say(line.rstrip("\r"))

    def _take_status(self, status: Message) -> None:
        for data in _messages(status, _VERTEXES):
            vertex = read_message(data)
            digest = _first(vertex, _DIGEST)
            if _STARTED in vertex and digest not in self._begun:
                self._begun.add(digest)
                cached = "CACHED " if vertex.get(_CACHED) else ""
                self._say(cached + _first(vertex, _NAME).decode("utf-8", "replace"))
        for data in _messages(status, _LOGS):
            log = read_message(data)
            digest = _first(log, _LOG_VERTEX)
            *lines, rest = (self._open.get(digest, b"") + _first(log, _MESSAGE)).split(b"\n")
            self._open[digest] = rest
            for line in lines:
                self._say(line.rstrip(b"\r").decode("utf-8", "replace"))


def read_message(data: bytes) -> Message:
    """The fields of one message of protocol buffers; what follows something that is none is left out."""
    found: Message = {}
    for field, value in _read_fields(data):
        found.setdefault(field, []).append(value)
    return found


def _read_fields(data: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(data):
        key, place = _read_varint(data, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _read_varint(data, place)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, place = _read_varint(data, place)
        elif kind in {_FIXED64, _FIXED32}:
            size = 8 if kind == _FIXED64 else 4
        else:
            return
        yield key >> 3, data[place : place + size]
        place += size


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    """(the number at `place`, the place behind it)."""
    number = shift = 0
    while place < len(data):
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return number, place


def _messages(message: Message, field: int) -> list[bytes]:
    return [value for value in message.get(field, []) if isinstance(value, bytes)]


def _first(message: Message, field: int) -> bytes:
    value = message.get(field, [b""])[0]
    return value if isinstance(value, bytes) else b""
