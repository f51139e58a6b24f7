"""Messages to frames and back. Pure; every frame that comes in is from a stranger.

A text frame is one JSON object; `kind` names the message, the other keys are its fields. A binary frame is a piece of
a journal, or, from protocol 4 on, what one side of a session says:

    version:u8 = 1  codec:u8  lease:u64  offset:u64  raw_length:u32  job_length:u8  job  data      (little-endian)
    version:u8 = 3  stream:u8  session_length:u8  session  data

`codec` 0 is raw bytes, 1 is zlib; `stream` 0 is input (`AttachInput`), 1 and 2 are output (`AttachOutput`). Whatever is wrong with a frame is a WireError with a code and a sentence.
"""

import json
import re
import struct
import zlib

from agent import codec
from agent.errors import DamagedError
from agent.wire.errors import WireError
from agent.wire.messages import (
    APPS_VERSION,
    KINDS,
    AttachInput,
    AttachOutput,
    JournalChunk,
    Message,
)
from agent.wire.validate import MAX_OFFSET, validate

MAX_TEXT_BYTES = 4 << 20
MAX_DEPTH = 64
MAX_CHUNK_BYTES = 256 << 10  # of journal in one binary frame, before compression
MAX_FRAME_BYTES = MAX_TEXT_BYTES  # what a transport must let through

JOURNAL_FRAME = 1  # the version with which a piece of a journal begins
SESSION_FRAME = 3  # and with which a piece of what a session says does
_HEAD = struct.Struct("<BBQQIB")
_SESSION_HEAD = struct.Struct("<BBB")
_INPUT = 0  # among the streams of a session
_RAW, _ZLIB = 0, 1
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def encode_text(message: Message) -> str:
    """`message` as a text frame. Raises WireError('too_large') when it is over `MAX_TEXT_BYTES`."""
    text = codec.dump(codec.tag(message.KIND, message))
    _check_size(text)
    return text


def encode_message(message: Message, version: int) -> str | bytes:
    """`message` as the frame that protocol `version` has for it. Raises WireError('too_large')."""
    if version >= APPS_VERSION:
        match message:
            case AttachOutput(session=session, stream=stream, data=data):
                return _encode_said(session, stream, data)
            case AttachInput(session=session, data=data, is_end=False, rows=0) if data:
                return _encode_said(session, _INPUT, data)
    return encode_text(message)


def check_sendable(message: Message) -> None:
    """Raises WireError when the other side would not read `message`, or there is no frame of it.

    The other side ends the connection over such a frame, with all that is under way on it: what comes out of other
    people's flows is looked at before it is sent.
    """
    try:
        text = encode_text(message)
        text.encode()
    except (ValueError, RecursionError, OverflowError) as error:
        raise WireError("bad_message", f"it has no form as a message: {type(error).__name__}") from None
    decode_text(text)


def decode_text(text: str) -> Message:
    """The message in a text frame.

    Raises WireError: 'too_large', or 'bad_message' for what is not JSON, too deep, of an unknown kind, or not valid.
    """
    _check_size(text)
    data = _parse_object(text)
    name = data.pop("kind", None)
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise WireError("bad_message", f"unknown kind of message {str(name)[:80]!r}")
    try:
        message: Message = codec.from_json(kind, data, where=str(name))
    except DamagedError as error:
        raise WireError("bad_message", error.what, where=error.where) from None
    validate(message)
    return message


def encode_chunk(chunk: JournalChunk) -> bytes:
    """`chunk` as a binary frame, compressed where that gains. Raises ValueError when it is empty or too long."""
    if not 0 < len(chunk.data) <= MAX_CHUNK_BYTES:
        raise ValueError(f"a chunk holds 1 to {MAX_CHUNK_BYTES} bytes, not {len(chunk.data)}")
    packed = zlib.compress(chunk.data, 1)
    way, body = (_ZLIB, packed) if len(packed) < len(chunk.data) else (_RAW, chunk.data)
    job = chunk.job.encode("ascii")
    head = _HEAD.pack(JOURNAL_FRAME, way, chunk.lease, chunk.offset, len(chunk.data), len(job))
    return b"".join((head, job, body))


def decode_chunk(frame: bytes) -> JournalChunk:
    """The piece of journal in a binary frame. Raises WireError: 'too_large' or 'bad_message'."""
    if len(frame) < _HEAD.size:
        raise _bad_frame("is shorter than its head")
    version, way, lease, offset, raw_length, job_length = _HEAD.unpack_from(frame)
    if version != JOURNAL_FRAME:
        raise _bad_frame(f"has the unknown version {version}")
    if not 0 < raw_length <= MAX_CHUNK_BYTES:
        raise WireError(
            "too_large", f"a journal frame claims {raw_length} bytes, 1 to {MAX_CHUNK_BYTES} are allowed"
        )
    if offset + raw_length > MAX_OFFSET:
        raise _bad_frame("ends beyond every journal")
    start = _HEAD.size + job_length
    job = frame[_HEAD.size : start].decode("ascii", "replace")
    chunk = JournalChunk(job, lease, offset, _unpack(way, frame[start:], raw_length))
    validate(chunk)
    return chunk


def _encode_said(session: str, stream: int, data: bytes) -> bytes:
    name = session.encode("ascii")
    return b"".join((_SESSION_HEAD.pack(SESSION_FRAME, stream, len(name)), name, data))


def decode_said(frame: bytes) -> AttachInput | AttachOutput:
    """What a session's side says in a binary frame. Raises WireError('bad_message')."""
    if len(frame) < _SESSION_HEAD.size or frame[0] != SESSION_FRAME:
        raise WireError("bad_message", "a frame of a session is shorter than its head")
    _, stream, length = _SESSION_HEAD.unpack_from(frame)
    start = _SESSION_HEAD.size + length
    session, data = frame[_SESSION_HEAD.size : start].decode("ascii", "replace"), frame[start:]
    said = AttachInput(session, data) if stream == _INPUT else AttachOutput(session, stream, data)
    validate(said)
    return said


def _unpack(way: int, body: bytes, raw_length: int) -> bytes:
    """The `raw_length` bytes packed in `body`; never makes more than one byte above that."""
    if way == _RAW:
        data, is_whole = body, True
    elif way == _ZLIB:
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(body, raw_length + 1)
        except zlib.error:
            raise _bad_frame("is not valid zlib") from None
        is_whole = unpacker.eof and not unpacker.unused_data
    else:
        raise _bad_frame(f"has the unknown codec {way}")
    if len(data) != raw_length or not is_whole:
        raise _bad_frame("does not hold the bytes that it claims")
    return data


def _parse_object(text: str) -> dict[str, object]:
    try:
        data = codec.load_standard(text)
    except ValueError as error:
        raise WireError("bad_message", f"not valid JSON: {str(error)[:200]}") from None
    if not isinstance(data, dict):
        raise WireError("bad_message", "a message is a JSON object")
    if not _is_shallow(data):
        raise WireError("bad_message", f"JSON nested deeper than {MAX_DEPTH}")
    if _SURROGATE.search(text) and not _is_unicode(data):
        raise WireError("bad_message", "text with half a surrogate pair")
    return data


def _is_shallow(data: object) -> bool:
    level: list[object] = [data]
    for _ in range(MAX_DEPTH):
        nodes = [node for node in level if isinstance(node, (dict, list))]
        if not nodes:
            return True
        level = [child for node in nodes for child in (node.values() if isinstance(node, dict) else node)]
    return False


def _is_unicode(data: object) -> bool:
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_size(text: str) -> None:
    # Characters are a lower bound of bytes: a text that is far too long is never encoded to be measured.
    if len(text) > MAX_TEXT_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise WireError("too_large", f"a message is over {MAX_TEXT_BYTES} bytes")


def _bad_frame(what: str) -> WireError:
    return WireError("bad_message", f"a journal frame {what}")
