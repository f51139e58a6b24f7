"""Running jobs that make place for one that comes before them."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from support.fleet import agent, holding, job, names

from agent.server.agents.scheduler import Holding, Project, Stake, choose

NOW = 1000.0


def running(name: str, box: str, gpus: range, **stake: float) -> Holding:
    usual = {"priority": 0, "started_at": 0.0, "kept_at": 900.0, **stake}
    return replace(holding(name, box), gpus=names(gpus, box), stake=Stake(**usual))  # type: ignore[arg-type]


def test_a_job_of_higher_priority_has_the_cheapest_make_place() -> None:
    held = [running("dear", "a", range(2), kept_at=100), running("cheap", "b", range(2), kept_at=990)]
    agents = [agent("a", gpus=2, slots=4), agent("b", gpus=2, slots=4)]
    choice = choose([job("new", gpus=2, priority=1)], agents, held, now=NOW)
    assert [(one.job, one.reason) for one in choice.interruptions] == [
        ("cheap", "makes place for job new of run 1, which comes before it")
    ]
    assert choice.waits == {"new": "job cheap of run 12 on b makes place for it"}
    assert choice.kept == {"b": "new"}


def test_who_is_on_the_way_out_is_waited_for_and_nobody_else_is_asked() -> None:
    held = [
        replace(running("out", "a", range(2)), stake=Stake(kept_at=900, is_leaving=True)),
        running("other", "b", range(2)),
    ]
    agents = [agent("a", gpus=2, slots=4), agent("b", gpus=2, slots=4)]
    choice = choose([job("new", gpus=2, priority=1)], agents, held, now=NOW)
    assert choice.interruptions == ()
    assert choice.kept == {"a": "new"}


def test_nobody_is_asked_for_one_of_equal_priority_nor_before_it_has_run_again_for_a_while() -> None:
    agents = [agent("a", gpus=1, slots=4)]
    held = running("old", "a", range(1))
    assert choose([job("new", gpus=1)], agents, [held], now=NOW).interruptions == ()
    young = replace(held, stake=Stake(started_at=NOW - 5, kept_at=NOW, is_again=True))
    assert choose([job("new", gpus=1, priority=9)], agents, [young], now=NOW).interruptions == ()
    firm = replace(held, stake=None)
    assert choose([job("new", gpus=1, priority=9)], agents, [firm], now=NOW).interruptions == ()


def test_between_projects_only_their_priorities_count() -> None:
    agents, held = [agent("a", gpus=1, slots=4)], [running("old", "a", range(1))]
    new = job("new", gpus=1, priority=100, project=2)
    assert choose([new], agents, held, now=NOW).interruptions == ()
    projects = {2: Project(2, "two", priority=1)}
    assert len(choose([new], agents, held, projects=projects, now=NOW).interruptions) == 1


def test_who_was_interrupted_does_not_get_back_what_it_has_made_room_for() -> None:
    old = job("old", gpus=1, queued_at=NOW, ranked_at=0.0, is_interruptible=True)
    new = job("new", gpus=1, queued_at=NOW - 5, priority=1)
    choice = choose([old, new], [agent("a", gpus=1, slots=4)], now=NOW)
    assert [pick.job for pick in choice.picks] == ["new"]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.floats(0, 900)), min_size=1, max_size=4),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_only_as_many_as_are_needed_and_only_lower_ones_make_place(
    others: list[tuple[int, bool, float]], wanted: int, priority: int
) -> None:
    held = []
    for place, (own, is_firm, kept) in enumerate(others):
        one = running(f"job{place}", "a", range(place, place + 1), priority=own, kept_at=kept)
        held.append(replace(one, stake=None) if is_firm else one)
    choice = choose(
        [job("new", gpus=wanted, priority=priority)], [agent("a", gpus=4, slots=9)], held, now=NOW
    )
    asked = {one.job for one in choice.interruptions}
    lower = {one.job for one in held if one.stake is not None and one.stake.priority < priority}
    free = 4 - len(held)
    assert asked <= lower
    assert len(asked) == (max(0, wanted - free) if wanted - free <= len(lower) else 0)
