"""The two sides against each other, and each against a peer that breaks the rules."""

import itertools

import pytest
from support.wire import AGENT, INVENTORY, Pair, job_id, job_spec, ready, ready_pair

from agent.spec.job import GangNode
from agent.wire import messages as m
from agent.wire.codec import encode_chunk, encode_text
from agent.wire.conversation import ConversationPhase
from agent.wire.errors import IllegalVerbError, WireError
from agent.wire.server_side import Authenticated, ConnectionTerms, ServerProtocol

JOB, OTHER = job_id(1), job_id(2)


def held(job: str = JOB, lease: int = 1, size: int = 100) -> m.HeldJob:
    return m.HeldJob(job, lease, size, is_running=True)


def assigned_pair() -> Pair:
    pair = ready_pair()
    pair.server.assign(m.Assign(JOB, 1, job_spec(JOB)))
    pair.exchange()
    pair.agent.accept(JOB, 1)
    pair.exchange()
    return pair


def rejection(pair: Pair) -> m.Rejected:
    pair.collect()
    (message,) = (
        told
        for told in itertools.chain(*(pair.deliver_to_agent() for _ in tuple(pair.to_agent)))
        if isinstance(told, m.Rejected)
    )
    return message


def test_an_agent_that_signs_the_challenge_is_welcomed_and_says_what_it_holds():
    pair = Pair()
    told = pair.open(held())
    assert [type(item) for item in told] == [m.Hello, Authenticated, m.Welcome, m.Ready]
    assert pair.agent.phase is pair.server.phase is ConversationPhase.READY
    assert pair.server.agent == AGENT
    assert pair.server.unanswered == {(JOB, 1)}


def test_a_wrong_signature_is_rejected_by_name():
    pair = Pair()
    pair.agent._sign = lambda _challenge: b"x" * 64
    pair.agent.hello()
    with pytest.raises(WireError) as caught:
        pair.exchange()
    assert caught.value.code == "bad_signature"
    assert rejection(pair).code == "bad_signature"
    assert pair.server.is_closed
    assert pair.agent.phase is ConversationPhase.CLOSED


def test_an_agent_that_nobody_knows_is_rejected_by_name():
    pair = Pair()
    pair.known = None
    pair.agent.hello()
    told = pair.exchange()
    assert isinstance(told[-1], m.Rejected)
    assert told[-1].code == "unknown_agent"


def test_versions_without_a_common_one_are_rejected_by_name():
    pair = Pair()
    pair.to_server.append(encode_text(m.Hello(AGENT, (7, 9), "flow-agent/9")))
    with pytest.raises(WireError, match="speaks protocol 7, 9, this server 6") as caught:
        pair.exchange()
    assert caught.value.code == "unsupported_version"


def test_the_best_common_version_is_chosen():
    pair = Pair()
    pair.to_server.append(encode_text(m.Hello(AGENT, (1, 9), "flow-agent/9")))
    pair.deliver_to_server()
    assert '"version":1' in str(pair.to_agent[0])


@pytest.mark.parametrize(("version", "waits"), [(1, False), (2, False), (3, True)])
def test_an_accepted_job_waits_for_the_servers_word_where_both_sides_know_it(version, waits):
    pair = Pair()
    pair.to_server.append(encode_text(m.Hello(AGENT, (version,), "flow-agent/9")))
    pair.agent.phase = ConversationPhase.GREETED
    pair.deliver_to_server()
    pair.exchange()
    alone, together = (
        m.Assign(JOB, 1, job_spec(JOB), node=node) for node in (None, GangNode(0, 2, "box", 1))
    )
    assert pair.server.tells_begin is pair.agent.must_wait(alone) is waits
    assert pair.agent.must_wait(together)


def test_an_agent_refuses_a_version_that_it_does_not_speak():
    pair = Pair()
    pair.agent.hello()
    with pytest.raises(WireError) as caught:
        pair.agent.receive_text(encode_text(m.Challenge(9, "server_1", b"n" * 32)))
    assert caught.value.code == "unsupported_version"


def test_a_job_is_assigned_accepted_shipped_acknowledged_and_released():
    pair = assigned_pair()
    assert pair.agent.next_offset(JOB, 1) == 0
    pair.agent.ship(JOB, 1, 0, b"abc")
    pair.agent.ship(JOB, 1, 3, b"def")
    assert pair.exchange() == [m.JournalChunk(JOB, 1, 0, b"abc"), m.JournalChunk(JOB, 1, 3, b"def")]
    assert pair.agent.room_bytes == 1000 - 6
    pair.server.acknowledge(JOB, 1, 6)
    pair.server.release(JOB, 1)
    assert pair.exchange() == [m.Ack(JOB, 1, 6), m.Release(JOB, 1)]
    assert pair.agent.room_bytes == 1000
    assert pair.agent.next_offset(JOB, 1) is None


def test_a_held_job_goes_on_from_the_offset_that_the_server_has():
    pair = ready_pair(held())
    assert pair.agent.next_offset(JOB, 1) is None
    pair.server.resume(JOB, 1, 40)
    pair.exchange()
    assert pair.agent.next_offset(JOB, 1) == 40


def test_nothing_may_be_shipped_when_the_server_has_ended_the_conversation():
    """Whoever ships as long as it may would else do so for ever: nothing that it says goes out any more."""
    pair = assigned_pair()
    assert pair.agent.next_offset(JOB, 1) == 0
    pair.server.reject("shutting_down", "the server is stopping")
    rejection(pair)
    assert pair.agent.next_offset(JOB, 1) is None


def test_a_held_job_of_an_old_lease_is_revoked_and_never_shipped():
    pair = ready_pair(held())
    pair.server.revoke(JOB, 1, "given to another agent")
    assert pair.exchange() == [m.Revoke(JOB, 1, "given to another agent")]
    with pytest.raises(IllegalVerbError, match="not open"):
        pair.agent.ship(JOB, 1, 0, b"abc")


def test_no_job_is_assigned_while_a_held_one_waits_for_its_answer():
    pair = ready_pair(held())
    with pytest.raises(IllegalVerbError, match="1 held jobs wait"):
        pair.server.assign(m.Assign(OTHER, 1, job_spec(OTHER)))
    pair.server.resume(JOB, 1, 0)
    with pytest.raises(IllegalVerbError, match="already"):
        pair.server.assign(m.Assign(JOB, 1, job_spec(JOB)))
    pair.server.assign(m.Assign(OTHER, 1, job_spec(OTHER)))


def test_a_journal_that_lost_acknowledged_bytes_can_not_be_resumed():
    pair = ready_pair(held(size=10))
    with pytest.raises(IllegalVerbError, match="holds 10 bytes"):
        pair.server.resume(JOB, 1, 11)
    assert pair.server.unanswered


def test_a_repeated_assignment_is_accepted_again_and_keeps_the_offset():
    pair = ready_pair()
    pair.server.assign(m.Assign(JOB, 1, job_spec(JOB)))
    pair.server.assign(m.Assign(JOB, 1, job_spec(JOB)))
    pair.exchange()
    pair.agent.accept(JOB, 1)
    pair.agent.ship(JOB, 1, 0, b"abc")
    pair.exchange()
    pair.server._offered.discard((JOB, 1))
    pair.to_server.append(encode_text(m.Accept(JOB, 1)))
    assert pair.exchange() == [m.Accept(JOB, 1)]
    pair.agent.ship(JOB, 1, 3, b"def")
    assert pair.exchange() == [m.JournalChunk(JOB, 1, 3, b"def")]


def test_a_refused_job_is_not_the_agents():
    pair = ready_pair()
    pair.server.assign(m.Assign(JOB, 1, job_spec(JOB)))
    pair.exchange()
    pair.agent.refuse(JOB, 1, "draining")
    assert pair.exchange() == [m.Refuse(JOB, 1, "draining")]
    with pytest.raises(IllegalVerbError, match="not assigned"):
        pair.agent.accept(JOB, 1)


def test_an_accept_or_bytes_of_a_lease_that_was_taken_away_are_dropped_and_answered_with_revoke():
    pair = ready_pair()
    pair.server.assign(m.Assign(JOB, 1, job_spec(JOB)))
    pair.exchange()
    pair.agent.accept(JOB, 1)
    pair.agent.ship(JOB, 1, 0, b"abc")
    pair.server.revoke(JOB, 1, "too late")
    told = pair.exchange()
    assert [type(item) for item in told] == [m.Revoke] * 3
    assert pair.agent.phase is ConversationPhase.READY


def test_a_refusal_of_a_lease_that_was_taken_away_is_passed_over():
    pair = ready_pair()
    pair.server.assign(m.Assign(JOB, 1, job_spec(JOB)))
    pair.exchange()
    pair.agent.refuse(JOB, 1, "disk full")
    pair.server.revoke(JOB, 1, "too late")
    assert [type(item) for item in pair.exchange()] == [m.Revoke]


@pytest.mark.parametrize(
    ("chunk", "word"),
    [
        (m.JournalChunk(JOB, 1, 4, b"x"), "skips"),
        (m.JournalChunk(JOB, 1, 2, b"x"), "overlaps"),
        (m.JournalChunk(JOB, 1, 3, b"x" * 998), "do not fit"),
    ],
)
def test_journal_bytes_that_skip_overlap_or_exceed_the_window_end_the_connection(chunk, word):
    pair = assigned_pair()
    pair.agent.ship(JOB, 1, 0, b"abc")
    pair.exchange()
    with pytest.raises(WireError, match=word):
        pair.server.receive_bytes(encode_chunk(chunk))
    assert rejection(pair).code == "bad_message"


def test_journal_bytes_of_a_held_job_before_its_answer_end_the_connection():
    pair = ready_pair(held())
    with pytest.raises(WireError, match="before it was told from where"):
        pair.server.receive_bytes(encode_chunk(m.JournalChunk(JOB, 1, 0, b"x")))


@pytest.mark.parametrize(
    "message",
    [
        m.Proof(b"s" * 64),
        ready(),
        m.Accept(JOB, 1),
        m.Goodbye(),
        m.Drain(is_draining=True),
        m.NewInventory(INVENTORY, ()),
    ],
    ids=lambda x: x.KIND,
)
def test_a_server_refuses_by_name_what_comes_before_hello(message):
    server = ServerProtocol("server_1", b"n" * 32, ConnectionTerms())
    with pytest.raises(WireError, match=f"'{message.KIND}' may not come while the connection is new"):
        server.receive_text(encode_text(message))
    assert server.is_closed


def test_a_server_refuses_a_proof_before_its_challenge():
    server = ServerProtocol("server_1", b"n" * 32, ConnectionTerms())
    server.receive_text(encode_text(m.Hello(AGENT, (1,), "x")))
    with pytest.raises(WireError, match="'proof' may not come while the connection is greeted"):
        server.receive_text(encode_text(m.Proof(b"s" * 64)))


def test_an_agent_refuses_a_job_before_it_said_ready():
    pair = Pair()
    pair.agent.hello()
    pair.exchange()
    with pytest.raises(WireError, match="'assign' may not come while the connection is welcomed"):
        pair.agent.receive_text(encode_text(m.Assign(JOB, 1, job_spec(JOB), {})))


def test_a_server_may_not_assign_before_ready():
    pair = Pair()
    pair.agent.hello()
    pair.exchange()
    with pytest.raises(IllegalVerbError, match="'assign' may not be sent"):
        pair.server.assign(m.Assign(JOB, 1, job_spec(JOB)))


def test_each_side_refuses_words_of_its_own_side():
    pair = ready_pair()
    with pytest.raises(WireError, match="'accept' is not a server's word"):
        pair.agent.receive_text(encode_text(m.Accept(JOB, 1)))
    with pytest.raises(WireError, match="'ack' is not an agent's word"):
        pair.server.receive_text(encode_text(m.Ack(JOB, 1, 1)))


def test_an_agent_refuses_binary_frames_and_acks_of_what_it_never_sent():
    with pytest.raises(WireError, match="binary"):
        ready_pair().agent.receive_bytes(b"x")
    with pytest.raises(WireError, match="an ack"):
        assigned_pair().agent.receive_text(encode_text(m.Ack(JOB, 1, 1)))


def test_after_the_end_nothing_is_heard_and_nothing_said():
    pair = assigned_pair()
    pair.server.reject("replaced", "this agent connected again")
    pair.exchange()
    assert pair.server.receive_text("garbage") == pair.server.receive_bytes(b"garbage") == ()
    assert pair.agent.receive_text("garbage") == pair.agent.receive_bytes(b"garbage") == ()
    pair.agent.ship(JOB, 1, 0, b"abc")
    pair.agent.accept(JOB, 1)
    pair.agent.heartbeat((), {})
    pair.server.acknowledge(JOB, 1, 0)
    pair.server.reject("shutting_down", "again")
    pair.collect()
    assert pair.to_agent == pair.to_server == []


def test_verbs_about_a_lease_that_is_not_here_do_nothing():
    pair = ready_pair()
    pair.server.resume(JOB, 1, 5)
    pair.server.acknowledge(JOB, 1, 5)
    pair.server.cancel(JOB, 1, "by ada")
    pair.server.release(JOB, 1)
    pair.server.revoke(JOB, 1, "over")
    assert pair.exchange() == []


def test_an_unknown_kind_ends_the_connection_with_its_name():
    pair = ready_pair()
    with pytest.raises(WireError, match="reboot"):
        pair.server.receive_text('{"kind":"reboot"}')
    assert "reboot" in rejection(pair).message


def test_small_talk_reaches_the_other_side():
    pair = assigned_pair()
    pair.agent.heartbeat((held(),), {"cpu_percent": 1.5})
    pair.agent.drain(is_draining=True)
    pair.agent.inventory(m.NewInventory(INVENTORY, ("h200",)))
    pair.agent.goodbye()
    assert pair.exchange() == [
        m.Heartbeat((held(),), {"cpu_percent": 1.5}),
        m.Drain(is_draining=True),
        m.NewInventory(INVENTORY, ("h200",)),
        m.Goodbye(),
    ]
    assert pair.agent.phase is pair.server.phase is ConversationPhase.CLOSED


def test_a_cancel_reaches_the_agent():
    pair = assigned_pair()
    pair.server.cancel(JOB, 1, "by ada")
    assert pair.exchange() == [m.Cancel(JOB, 1, "by ada")]


def test_an_answer_goes_with_an_ack_of_what_is_stored_and_nowhere_else():
    pair = assigned_pair()
    pair.agent.ship(JOB, 1, 0, b"abc")
    pair.exchange()
    pair.server.acknowledge(JOB, 1, 3)
    answer = m.StepAnswer(2, "ada", {"good": 7, "notes": ["a", None]})
    for _ in range(2):
        pair.server.answer(JOB, 1, answer)
    pair.server.answer(JOB, 2, answer)
    assert pair.exchange() == [m.Ack(JOB, 1, 3), *[m.Ack(JOB, 1, 3, answer)] * 2]
    pair = ready_pair(held())
    pair.server.answer(JOB, 1, answer)
    assert pair.exchange() == [], "the agent does not know from where to ship yet"


@pytest.mark.parametrize("answer", [m.StepAnswer(-1, "ada"), m.StepAnswer(1, "a" * 300)])
def test_an_answer_that_makes_no_sense_ends_the_connection(answer: m.StepAnswer):
    pair = assigned_pair()
    with pytest.raises(WireError) as caught:
        pair.agent.receive_text(encode_text(m.Ack(JOB, 1, 0, answer)))
    assert caught.value.code == "bad_message"


def test_the_proof_needs_a_challenge_that_was_sent():
    pair = Pair()
    pair.agent.hello()
    pair.collect()
    pair.deliver_to_server()
    pair.server._known = None
    pair.collect()
    pair.deliver_to_agent()
    with pytest.raises(WireError, match="'proof' came before"):
        pair.deliver_to_server()


ATTACH = m.Attach("attach_00000000000000000001", JOB, 1, "alice", "10.0.0.7")


def attached_pair() -> Pair:
    pair = assigned_pair()
    pair.server.attach(ATTACH)
    assert pair.exchange() == [ATTACH]
    return pair


def test_a_session_goes_both_ways_within_its_window():
    pair = attached_pair()
    session = ATTACH.session
    for _ in range(m.ATTACH_WINDOW_FRAMES):
        pair.agent.attach_output(session, 1, b"out")
        pair.server.attach_input(m.AttachInput(session, b"in"))
    assert (pair.agent.attach_room(session), pair.server.attach_room(session)) == (0, 0)
    with pytest.raises(IllegalVerbError):
        pair.agent.attach_output(session, 1, b"more")
    with pytest.raises(IllegalVerbError):
        pair.server.attach_input(m.AttachInput(session, b"more"))
    assert len(pair.exchange()) == 2 * m.ATTACH_WINDOW_FRAMES
    pair.server.attach_taken(session, 3)
    pair.agent.attach_taken(session, 5)
    pair.exchange()
    assert (pair.agent.attach_room(session), pair.server.attach_room(session)) == (3, 5)
    with pytest.raises(IllegalVerbError):
        pair.server.attach_taken(session, m.ATTACH_WINDOW_FRAMES)


def test_what_is_under_way_when_a_session_ends_is_for_nobody():
    pair = attached_pair()
    session = ATTACH.session
    pair.server.attach_input(m.AttachInput(session, b"late"))
    pair.agent.attach_ended(session, 0)
    assert pair.exchange() == [m.AttachEnded(session, 0)]
    pair.agent.attach_output(session, 1, b"later")
    pair.server.attach_leave(session)
    pair.server.attach_input(m.AttachInput(session, b"latest"))
    assert pair.exchange() == []
    assert pair.agent.attach_room(session) is pair.server.attach_room(session) is None


@pytest.mark.parametrize(
    "message",
    [
        m.AttachOutput(ATTACH.session, 1, b"x"),
        m.AttachTaken(ATTACH.session, 1),
    ],
)
def test_an_agent_that_sends_or_takes_more_than_it_may_breaks_the_protocol(message: m.Message):
    pair = attached_pair()
    pair.to_server += [encode_text(message)] * (m.ATTACH_WINDOW_FRAMES + 1)
    with pytest.raises(WireError):
        pair.exchange()
    assert rejection(pair).code == "bad_message"


def test_nobody_attaches_to_a_job_that_is_not_here_or_by_an_agent_that_is_too_old():
    pair = ready_pair()
    pair.server.attach(ATTACH)
    assert pair.server.attach_room(ATTACH.session) is None
    assert pair.exchange() == []
    old = Pair()
    old.to_server.append(encode_text(m.Hello(AGENT, (1,), "flow-agent/0.1")))
    old.deliver_to_server()
    assert not old.server.can_attach
    with pytest.raises(IllegalVerbError, match="too old"):
        old.server.attach(ATTACH)
