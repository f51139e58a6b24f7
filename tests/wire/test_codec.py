"""Frames: what is written is read back, and nothing that a stranger sends does more than raise a WireError."""

import contextlib
import json
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.wire import AGENT, INVENTORY, job_id, job_spec, ready

from agent.wire import codec
from agent.wire import messages as m
from agent.wire.errors import WireError

JOB = job_id(1)
SESSION = "attach_00000000000000000001"
MESSAGES: tuple[m.Message, ...] = (
    m.Hello(AGENT, (1,), "flow-agent/0.1"),
    m.Challenge(1, "server_1", b"n" * 32),
    m.Proof(b"s" * 64),
    m.Welcome("box", 10.0, 1 << 20),
    ready(m.HeldJob(JOB, 3, 77, is_running=True)),
    m.Assign(JOB, 1, job_spec(JOB, "echo hällo ☃"), {"TOKEN": b"\x00\xff"}),
    m.Accept(JOB, 1),
    m.Refuse(JOB, 1, "draining"),
    m.EventWanted(JOB, 1, 3 * m.EVENT_PART_BYTES),
    m.EventPart(JOB, 1, 3 * m.EVENT_PART_BYTES, b"x\xda"),
    m.Ack(JOB, 1, 12345),
    m.Cancel(JOB, 1, "by ada"),
    m.Release(JOB, 1),
    m.Revoke(JOB, 1, "given up"),
    m.Heartbeat((m.HeldJob(JOB, 1, 5, is_running=False),), {"cpu_percent": 3.5}),
    m.Drain(is_draining=True),
    m.NewInventory(INVENTORY, ("self-hosted", "h200")),
    m.Goodbye(),
    m.Rejected("unknown_agent", "who?"),
    m.Attach(SESSION, JOB, 1, "alice", "10.0.0.7", ("echo", "\u2603"), m.Terminal(24, 80, "xterm")),
    m.AttachOpened(SESSION),
    m.AttachInput(SESSION, b"\x03\xff", rows=24, columns=80),
    m.AttachOutput(SESSION, 2, b"\x00\xff"),
    m.AttachTaken(SESSION, 3),
    m.AttachLeave(SESSION),
    m.AttachEnded(SESSION, None, "the job has ended"),
)


def test_the_examples_cover_every_kind():
    assert {message.KIND for message in MESSAGES} == set(m.KINDS)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.KIND)
def test_a_message_comes_back_as_it_was(message):
    assert codec.decode_text(codec.encode_text(message)) == message


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.KIND)
def test_a_key_of_a_newer_version_is_passed_over(message):
    frame = json.loads(codec.encode_text(message)) | {"from_the_future": [1]}
    assert codec.decode_text(json.dumps(frame)) == message


@pytest.mark.parametrize(
    "said",
    [m.AttachInput(SESSION, b"\x00\xff"), m.AttachOutput(SESSION, 1, b""), m.AttachOutput(SESSION, 2, b"x")],
)
def test_what_a_session_says_comes_back_from_a_binary_frame(said):
    assert codec.decode_said(codec.encode_message(said, m.APPS_VERSION)) == said


@given(st.binary(max_size=100))
def test_a_strangers_frame_of_a_session_is_refused_with_a_word(frame):
    with contextlib.suppress(WireError):
        codec.decode_said(bytes([codec.SESSION_FRAME]) + frame)
    with pytest.raises(WireError):
        codec.decode_said(b"")
    too_much = m.AttachOutput(SESSION, 1, bytes(m.PORT_FRAME_BYTES + 1))
    with pytest.raises(WireError, match="data"):
        codec.decode_said(codec.encode_message(too_much, m.APPS_VERSION))


def fields(kind: str, **changes: object) -> str:
    (message,) = (message for message in MESSAGES if kind == message.KIND)
    return json.dumps(json.loads(codec.encode_text(message)) | changes)


HELD = {"job": JOB, "lease": 1, "journal_bytes": 5, "is_running": True}


@pytest.mark.parametrize(
    ("frame", "word"),
    [
        ("", "JSON"),
        ("{", "JSON"),
        ("[]", "object"),
        ("3", "object"),
        ('{"a": NaN}', "NaN"),
        ("{}", "unknown kind"),
        ('{"kind": "reboot"}', "'reboot'"),
        ('{"kind": ["hello"]}', "unknown kind"),
        ('{"kind": "accept", "job": "\\ud800", "lease": 1}', "surrogate"),
        ('{"kind": "accept"}', "'job' is missing"),
        (f'{{"kind": "accept", "job": "{JOB}", "lease": true}}', "accept.lease"),
        (f'{{"kind": "accept", "job": "{JOB}", "lease": {"9" * 5000}}}', "JSON"),
        (fields("accept", job="../../etc"), "'job'"),
        (fields("accept", job="job_" + "0" * 19 + "/"), "'job'"),
        (fields("accept", lease=0), "'lease'"),
        (fields("accept", lease=1 << 63), "'lease'"),
        (fields("ack", offset=-1), "'offset'"),
        (fields("ack", offset=1 << 63), "'offset'"),
        (fields("refuse", reason="x" * 5000), "'reason'"),
        (fields("hello", agent="job_" + "0" * 20), "'agent'"),
        (fields("hello", versions=[]), "'versions'"),
        (fields("attach", session="attach_1"), "'session'"),
        (fields("attach", command=["x" * 5000]), "'command'"),
        (fields("attach_input", rows=70000), "'rows'"),
        (fields("attach_output", stream=3), "'stream'"),
        (fields("attach_taken", frames=0), "'frames'"),
        (fields("attach_ended", exit_code=256), "'exit_code'"),
        (fields("hello", software="x" * 300), "'software'"),
        (fields("challenge", nonce="aa=="), "base64|nonce"),
        (fields("challenge", server=""), "'server'"),
        (fields("proof", signature="AAAA"), "'signature'"),
        (fields("welcome", heartbeat_seconds=0), "'heartbeat_seconds'"),
        (fields("welcome", heartbeat_seconds=1e300), "heartbeat_seconds"),
        (fields("welcome", window_bytes=0), "'window_bytes'"),
        (fields("ready", max_jobs=0), "'max_jobs'"),
        (fields("ready", labels=["x"] * 300), "'labels'"),
        (fields("ready", labels=[""]), "'labels'"),
        (fields("ready", held=[HELD, HELD]), "'held'"),
        (fields("ready", held=[HELD | {"journal_bytes": -1}]), "'journal_bytes'"),
        (fields("heartbeat", held=[HELD | {"lease": -1}]), "'lease'"),
        (fields("assign", job=job_id(2)), "'spec.job'"),
        (fields("assign", sealed={"A": "not base64!"}), "sealed"),
    ],
)
def test_a_bad_text_frame_is_refused_with_what_is_wrong(frame, word):
    with pytest.raises(WireError, match=word) as caught:
        codec.decode_text(frame)
    assert caught.value.code == "bad_message"


def test_a_text_frame_over_the_limit_is_too_large_in_bytes_not_characters():
    snowmen = "☃" * (codec.MAX_TEXT_BYTES // 3 + 1)
    with pytest.raises(WireError) as caught:
        codec.decode_text(json.dumps({"kind": "goodbye", "x": snowmen}, ensure_ascii=False))
    assert caught.value.code == "too_large"
    with pytest.raises(WireError) as caught:
        codec.encode_text(m.Assign(JOB, 1, job_spec(JOB, snowmen), {}))
    assert caught.value.code == "too_large"


@pytest.mark.parametrize("depth", [codec.MAX_DEPTH + 1, 100_000])
def test_deep_json_is_refused(depth):
    with pytest.raises(WireError) as caught:
        codec.decode_text('{"kind": "heartbeat", "figures": ' + "[" * depth + "]" * depth + "}")
    assert caught.value.code == "bad_message"


def test_escaped_text_beyond_the_basic_plane_is_fine():
    frame = json.dumps({"kind": "refuse", "job": JOB, "lease": 1, "reason": "🚀"})
    assert "\\ud83d" in frame
    assert codec.decode_text(frame) == m.Refuse(JOB, 1, "🚀")


@given(st.text(max_size=200))
def test_any_text_is_a_message_or_a_wire_error(text):
    with contextlib.suppress(WireError):
        codec.decode_text(text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    ),
    st.sampled_from(MESSAGES),
    st.data(),
)
def test_any_value_in_any_field_is_a_message_or_a_wire_error(value, message, data):
    frame = json.loads(codec.encode_text(message))
    frame[data.draw(st.sampled_from(sorted(frame)))] = value
    with contextlib.suppress(WireError):
        codec.decode_text(json.dumps(frame))


# Binary frames


@given(
    st.integers(1, 1 << 62),
    st.integers(0, 1 << 62),
    st.binary(min_size=1, max_size=2000) | st.just(b"line\n" * 1000),
)
def test_journal_bytes_come_back_as_they_were(lease, offset, data):
    chunk = m.JournalChunk(JOB, lease, offset, data)
    assert codec.decode_chunk(codec.encode_chunk(chunk)) == chunk


def test_only_what_gains_is_compressed():
    repeated = codec.encode_chunk(m.JournalChunk(JOB, 1, 0, b"loss 0.1\n" * 1000))
    noise = codec.encode_chunk(m.JournalChunk(JOB, 1, 0, bytes(range(256))))
    assert (repeated[1], noise[1]) == (1, 0)
    assert len(repeated) < 500
    assert noise.endswith(bytes(range(256)))


@pytest.mark.parametrize("length", [0, codec.MAX_CHUNK_BYTES + 1])
def test_a_chunk_that_is_empty_or_too_long_is_never_written(length):
    with pytest.raises(ValueError, match="holds"):
        codec.encode_chunk(m.JournalChunk(JOB, 1, 0, b"x" * length))


def frame(
    *,
    version: int = 1,
    way: int = 0,
    lease: int = 1,
    offset: int = 0,
    claims: int = 3,
    job: bytes = JOB.encode(),
    body: bytes = b"abc",
) -> bytes:
    return struct.pack("<BBQQIB", version, way, lease, offset, claims, len(job)) + job + body


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "bad_message"),
        (frame()[:22], "bad_message"),
        (frame(version=2), "bad_message"),
        (frame(way=7), "bad_message"),
        (frame(lease=0), "bad_message"),
        (frame(lease=(1 << 64) - 1), "bad_message"),
        (frame(offset=(1 << 64) - 1), "bad_message"),
        (frame(claims=0, body=b""), "too_large"),
        (frame(claims=codec.MAX_CHUNK_BYTES + 1), "too_large"),
        (frame(claims=4), "bad_message"),
        (frame(claims=2), "bad_message"),
        (frame(job=b"../../../../../../etc/x"), "bad_message"),
        (frame(job=b"\xff" * 24), "bad_message"),
        (frame(way=1), "bad_message"),
        (frame(way=1, body=zlib.compress(b"abcd")), "bad_message"),
        (frame(way=1, body=zlib.compress(b"abc")[:-1]), "bad_message"),
        (frame(way=1, body=zlib.compress(b"abc") + b"more"), "bad_message"),
    ],
)
def test_a_bad_binary_frame_is_refused(data, code):
    with pytest.raises(WireError) as caught:
        codec.decode_chunk(data)
    assert caught.value.code == code


def test_a_bomb_is_refused_without_being_unpacked():
    bomb = zlib.compress(b"\0" * (64 << 20), 9)
    with pytest.raises(WireError, match="claims"):
        codec.decode_chunk(frame(way=1, claims=codec.MAX_CHUNK_BYTES, body=bomb))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_chunk_or_a_wire_error(data):
    with contextlib.suppress(WireError):
        codec.decode_chunk(data)


def test_the_inventory_of_ready_survives_the_wire():
    message = codec.decode_text(codec.encode_text(ready()))
    assert isinstance(message, m.Ready)
    assert message.inventory == INVENTORY
