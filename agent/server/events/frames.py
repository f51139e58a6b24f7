"""Server-sent events (WHATWG HTML, 9.2) as bytes. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

HEARTBEAT_SECONDS: Final = 15.0
HEARTBEAT: Final = b": still here\n\n"
END: Final = b"event: end\ndata: {}\n\n"

_encode = msgspec.json.Encoder().encode


def event_bytes(kind: str, data: Mapping[str, object] | str, event_id: int | None) -> bytes:
    """One event; `data` is JSON data, or JSON text without line breaks. Without an id the last one stays."""
    text = data.encode() if isinstance(data, str) else _json(data)
    head = b"" if event_id is None else b"id: %d\n" % event_id
    return b"%sevent: %s\ndata: %s\n\n" % (head, kind.encode(), text)


def text_events(kind: str, head: Mapping[str, object], texts: Sequence[bytes], event_id: int) -> bytes:
    """An event for each of `texts`, which differ in their `text` alone; the last one has the id.

    What they have in common is written once for all, which is several times as quick as one by one.
    """
    opening = b'event: %s\ndata: %s,"text":' % (kind.encode(), _json(head)[:-1])
    strings = b"\n".join(texts).decode("utf-8", "replace").split("\n")
    encode = _encode if all(map(bytes.isascii, texts)) else _json
    written = opening + (b"}\n\n" + opening).join(map(encode, strings)) + b"}\n\n"
    last = written.rfind(b"\n\n", 0, -2) + 2 if len(texts) > 1 else 0
    return b"%sid: %d\n%s" % (written[:last], event_id, written[last:])


def _json(data: object) -> bytes:
    """JSON in ASCII: clients that look for the ends of lines take U+2028 and its like for some."""
    try:
        text = _encode(data)
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON has an escape for
        text = b"\xff"
    return text if text.isascii() else json.dumps(data, separators=(",", ":")).encode()
