"""How a job is brought to its end, step by step: by a clock of the test's own."""

from hypothesis import given
from hypothesis import strategies as st

from agent.daemon.escalation import (
    CHECK_SECONDS,
    GRACE_SECONDS,
    SILENT_SECONDS,
    EscalationEvent,
    EscalationStage,
    Measure,
    advance,
    begin,
    begin_at_deadline,
    choose_deadline,
)


def test_who_answers_has_its_time_to_cancel_and_a_grace_as_long_as_it_goes_on_answering():
    escalation, action = begin(100.0, 300.0)
    assert (escalation.stage, action) == (EscalationStage.ASKED, Measure.ASK)
    now = 101.0
    escalation, action = advance(escalation, EscalationEvent.ANSWERED, now)
    while now < 400.0 + GRACE_SECONDS:
        assert (escalation.stage, action) == (EscalationStage.HEARD, None)
        assert escalation.due_at <= now + CHECK_SECONDS
        now = escalation.due_at
        escalation, action = advance(escalation, EscalationEvent.DUE, now)
        if now < 400.0 + GRACE_SECONDS:
            assert (escalation.stage, action) == (EscalationStage.CHECKED, Measure.ASK)
            escalation, action = advance(escalation, EscalationEvent.ANSWERED, now)
    assert (now, action) == (400.0 + GRACE_SECONDS, Measure.KILL)


def test_who_has_answered_and_then_falls_silent_is_killed_long_before_its_time_is_over():
    escalation, _none = advance(begin(100.0, 300.0)[0], EscalationEvent.ANSWERED, 101.0)
    escalation, action = advance(escalation, EscalationEvent.DUE, 101.0 + CHECK_SECONDS)
    assert action is Measure.ASK
    assert advance(escalation, EscalationEvent.DUE, 101.0 + CHECK_SECONDS + SILENT_SECONDS)[1] is None
    assert (
        advance(escalation, EscalationEvent.DUE, 101.0 + CHECK_SECONDS + 2 * SILENT_SECONDS)[1]
        is Measure.KILL
    )


def test_who_has_answered_and_closed_its_socket_has_what_is_left_of_its_time():
    escalation, _none = advance(begin(100.0, 300.0)[0], EscalationEvent.ANSWERED, 101.0)
    escalation, _ask = advance(escalation, EscalationEvent.DUE, 111.0)
    escalation, action = advance(escalation, EscalationEvent.ABSENT, 112.0)
    assert (escalation.stage, escalation.due_at, action) == (
        EscalationStage.ENDING,
        400.0 + GRACE_SECONDS,
        None,
    )


def test_who_is_silent_is_told_by_a_signal_and_then_killed():
    escalation, _ask = begin(100.0, 300.0)
    escalation, action = advance(escalation, EscalationEvent.DUE, 100.0 + SILENT_SECONDS)
    assert (escalation.stage, action) == (EscalationStage.TOLD, Measure.TELL_AND_ASK)
    heard, action = advance(escalation, EscalationEvent.ANSWERED, 111.0)
    assert (heard.stage, action) == (EscalationStage.HEARD, None)
    escalation, action = advance(escalation, EscalationEvent.DUE, 100.0 + 2 * SILENT_SECONDS)
    assert (escalation.stage, escalation.due_at, action) == (EscalationStage.KILLED, None, Measure.KILL)
    assert advance(escalation, EscalationEvent.ANSWERED, 500.0) == (escalation, None)


def test_who_has_no_socket_any_more_is_told_by_a_signal_and_has_its_time():
    escalation, action = advance(begin(0.0, 60.0)[0], EscalationEvent.ABSENT, 1.0)
    assert (escalation.stage, action) == (EscalationStage.SIGNALLED, Measure.TELL)
    assert advance(escalation, EscalationEvent.DUE, 60.0 + GRACE_SECONDS)[1] is Measure.KILL


def test_a_deadline_leaves_the_supervisor_all_that_is_its_own_and_then_asks_no_more():
    assert choose_deadline(10.0, 3600.0, 300.0) == 3910.0 + GRACE_SECONDS
    assert choose_deadline(10.0, 0.0, 300.0) is None
    assert begin_at_deadline(0.0)[1] is Measure.KILL


@given(
    st.lists(st.tuples(st.sampled_from(EscalationEvent), st.floats(0, 100)), max_size=30), st.floats(0, 1000)
)
def test_whatever_happens_it_comes_to_an_end_and_kills_once(events, cancel_seconds):
    now = 0.0
    escalation, action = begin(now, cancel_seconds)
    actions = [action]
    for event, seconds in events:
        now += seconds
        escalation, action = advance(escalation, event, now)
        actions.append(action)
    while escalation.due_at is not None:
        now = max(now, escalation.due_at)
        escalation, action = advance(escalation, EscalationEvent.DUE, now)
        actions.append(action)
    assert escalation.stage is EscalationStage.KILLED
    assert actions.count(Measure.KILL) == 1
