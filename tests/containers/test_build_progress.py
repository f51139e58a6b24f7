"""What builders say, as lines: the classic one's text, and BuildKit's status in protocol buffers."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from agent.containers.build_progress import BuildProgress, read_message

DIGEST = b"sha256:1"


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


def event(*parts: bytes) -> dict[str, str]:
    return {"id": "moby.buildkit.trace", "aux": base64.b64encode(b"".join(parts)).decode()}


def vertex(name: bytes, *, is_started: bool = True, is_cached: bool = False) -> bytes:
    cached = b"\x20\x01" if is_cached else b""
    started = field(5, b"\x08\x01") if is_started else b""
    return field(1, field(1, name) + field(3, name) + cached + started)


def log(name: bytes, text: bytes) -> bytes:
    return field(3, field(1, name) + field(4, text))


def lines(*events: dict[str, str]) -> list[str]:
    said: list[str] = []
    progress = BuildProgress(said.append)
    for each in events:
        progress.take(each)
    return said


def test_text_of_the_classic_builder_is_said_as_it_is() -> None:
    assert lines({"stream": "Step 1\n"}, {"stream": "\n"}, {"aux": ""}) == ["Step 1"]


def test_an_instruction_is_named_once_when_it_begins_and_its_output_is_joined_to_lines() -> None:
    events = (
        event(vertex(b"RUN a", is_started=False)),
        event(vertex(b"RUN a"), log(b"RUN a", b"on")),
        event(vertex(b"RUN a"), log(b"RUN a", b"e\r\ntwo\n")),
        event(vertex(b"COPY b", is_cached=True)),
    )
    assert lines(*events) == ["RUN a", "one", "two", "CACHED COPY b"]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    read_message(data)
    lines(event(data))
