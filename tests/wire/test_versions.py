"""How the protocol grows: old peers are understood."""

import base64
import json

import pytest
from support.wire import AGENT, INVENTORY, NONCE, Pair, job_id, job_spec, ready_pair

from agent import codec as json_codec
from agent.spec.stages import PROTOCOL
from agent.wire import codec
from agent.wire import messages as m
from agent.wire.conversation import ConversationPhase
from agent.wire.errors import IllegalVerbError, WireError
from agent.wire.server_side import Authenticated

JOB = job_id(1)
SESSION = "attach_00000000000000000001"


def say(pair: Pair, **message: object) -> list[object]:
    """The agent says a frame as it stands here, whatever this version of the agent would say."""
    pair.to_server.append(json.dumps(message))
    return [*pair.deliver_to_server()]


def open_as_an_old_agent(pair: Pair, versions: list[int]) -> list[object]:
    """The opening in the words of an agent from before `boot`, `held` and `is_draining`."""
    told = say(pair, kind="hello", agent=AGENT, versions=versions, software="flow-agent/0.0.1")
    signature = base64.b64encode(NONCE.ljust(64, b"!")).decode()
    told += say(pair, kind="proof", signature=signature)
    inventory = json_codec.to_json(INVENTORY)
    return told + say(pair, kind="ready", inventory=inventory, labels=["linux"], max_jobs=1)


@pytest.mark.parametrize(
    ("versions", "chosen"),
    [
        ([1], 1),
        ([1, 2], 2),
        ([2, 1], 2),
        ([1, 2, 3], 3),
        ([1, 2, 3, 4], 4),
        ([1, 2, 3, 4, 5], 5),
        ([1, 2, 3, 4, 5, 6, 7], 6),
        ([0, 2, 99], 2),
    ],
)
def test_an_old_agents_hello_and_a_newer_ones_still_open_a_conversation(
    versions: list[int], chosen: int
) -> None:
    pair = Pair()
    told = open_as_an_old_agent(pair, versions)
    assert [type(event) for event in told] == [m.Hello, Authenticated, m.Ready]
    assert pair.server.phase is ConversationPhase.READY
    assert json.loads(str(pair.to_agent[0]))["version"] == chosen


def test_an_old_agent_is_given_steps_where_it_looks_for_them() -> None:
    pair = Pair()
    open_as_an_old_agent(pair, [1])
    pair.to_agent.clear()
    pair.server.assign(m.Assign(JOB, 1, job_spec(JOB, "echo")))
    pair.collect()
    spec = json.loads(str(pair.to_agent[0]))["spec"]
    assert [step["run"] for step in spec["steps"]] == ["echo"]
    assert "work" not in spec


def test_what_a_session_says_is_binary_where_both_sides_know_that_and_text_where_one_does_not() -> None:
    for versions, kind in (([1, 2, 3], str), ([1, 2, 3, 4], bytes)):
        pair = Pair()
        open_as_an_old_agent(pair, versions)
        pair.server.assign(m.Assign(JOB, 1, job_spec(JOB)))
        say(pair, kind="accept", job=JOB, lease=1)
        pair.server.attach(m.Attach(SESSION, JOB, 1, "alice", "10.0.0.7"))
        pair.server.attach_input(m.AttachInput(SESSION, b"\x00\xff"))
        pair.server.attach_input(m.AttachInput(SESSION, is_end=True))
        pair.collect()
        told = pair.to_agent[-2:]
        assert [type(frame) for frame in told] == [kind, str]
        said = codec.decode_said(told[0]) if isinstance(told[0], bytes) else codec.decode_text(told[0])
        assert said == m.AttachInput(SESSION, b"\x00\xff")


def test_an_agent_from_before_apps_is_asked_for_no_port() -> None:
    pair = Pair()
    open_as_an_old_agent(pair, [1, 2, 3])
    assert not pair.server.can_reach_apps
    with pytest.raises(IllegalVerbError, match="too old"):
        pair.server.attach(m.Attach(SESSION, JOB, 1, "alice", "10.0.0.7", app="lab"))


def test_binary_frames_of_sessions_are_refused_where_the_version_has_none() -> None:
    frame = codec.encode_message(m.AttachOutput(SESSION, 1, b"x"), 4)
    assert isinstance(frame, bytes)
    pair = Pair()
    open_as_an_old_agent(pair, [1, 2, 3])
    with pytest.raises(WireError, match="unknown version 3"):
        pair.server.receive_bytes(frame)


def test_an_agent_that_knows_stages_speaks_the_version_that_is_said_of_them() -> None:
    assert PROTOCOL in m.PROTOCOL_VERSIONS


def test_an_agent_from_before_parts_of_events_neither_asks_for_one_nor_is_sent_one() -> None:
    pair = Pair()
    open_as_an_old_agent(pair, [1, 2, 3, 4, 5])
    assert pair.server.version < m.EVENT_PARTS_VERSION
    assert not pair.agent.want_event(JOB, 1, 0)
    pair.to_agent.clear()
    pair.server.send_part(m.EventPart(JOB, 1, 0, b"x"))
    pair.collect()
    assert pair.to_agent == []


def test_a_server_from_before_changes_of_the_machine_is_told_of_none() -> None:
    pair = ready_pair()
    assert pair.agent.tells_inventory
    pair.agent._version = 5
    assert not pair.agent.tells_inventory
    with pytest.raises(IllegalVerbError, match="too old"):
        pair.agent.inventory(m.NewInventory(INVENTORY, ()))


def test_what_was_once_reserved_for_records_is_a_frame_like_any_other_that_nobody_knows() -> None:
    journal = codec.encode_chunk(m.JournalChunk(JOB, 1, 0, b"abc"))
    with pytest.raises(WireError, match="unknown version 2"):
        codec.decode_chunk(bytes([2]) + journal[1:])
    with pytest.raises(WireError, match="unknown kind of message 'records_open'"):
        codec.decode_text('{"kind": "records_open"}')
