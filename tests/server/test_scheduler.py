"""Who gets which job: the pure choice."""

from hypothesis import given
from hypothesis import strategies as st

from agent.server.scheduler import ReadyAgent, WaitingJob, choose

LABELS = ("linux", "gpu", "arm")


def agent(name: str, *labels: str, slots: int = 1, group: str = "", is_draining: bool = False) -> ReadyAgent:
    shown = labels or ("linux",)
    return ReadyAgent(name, name, frozenset(shown), shown, slots, group, is_draining)


def test_labels_match_whatever_their_case() -> None:
    choice = choose([WaitingJob("job", ("Linux", "GPU"))], [agent("a", "linux", "gpu")], {})
    assert choice.picks == (("job", "a"),)


def test_the_oldest_job_is_served_first_and_does_not_hold_up_others() -> None:
    jobs = [
        WaitingJob("needs-gpu", ("gpu",)),
        WaitingJob("first", ("linux",)),
        WaitingJob("second", ("linux",)),
    ]
    choice = choose(jobs, [agent("a")], {})
    assert choice.picks == (("first", "a"),)
    assert choice.waits == {
        "needs-gpu": "no agent has the label [gpu]; 1 agent is connected (a: linux)",
        "second": "the only matching agent is busy",
    }


def test_the_least_busy_agent_is_taken() -> None:
    agents = [agent("a", slots=4), agent("b", slots=2)]
    assert choose([WaitingJob("job", ())], agents, {"a": 1, "b": 1}).picks == (("job", "a"),)


def test_a_group_is_an_own_world() -> None:
    job = WaitingJob("job", ("linux",), group="lab")
    choice = choose([job], [agent("a")], {})
    assert choice.waits["job"].startswith("no agent has the label [linux] in the group 'lab'")
    assert choose([job], [agent("a", group="Lab")], {}).picks == (("job", "a"),)


def test_reasons_name_what_is_in_the_way() -> None:
    job = WaitingJob("job", ("linux",), refused={"a": "the disk is full"})
    assert choose([job], [], {}).waits["job"] == "no agent is connected"
    assert choose([job], [agent("a")], {}).waits["job"] == "a refused: the disk is full"
    busy = [agent("b"), agent("c")]
    assert choose([job], busy, {"b": 1, "c": 1}).waits["job"] == "all 2 matching agents are busy"
    drained = [agent("b", is_draining=True), agent("c", is_draining=True)]
    assert choose([job], drained, {}).waits["job"] == "2 matching agents are draining"
    mixed = [agent("a"), agent("b"), agent("c", is_draining=True)]
    assert choose([job], mixed, {"b": 1}).waits["job"] == (
        "the other matching agent is busy; 1 matching agent is draining; a refused: the disk is full"
    )


jobs_strategy = st.lists(
    st.builds(WaitingJob, st.uuids().map(str), st.lists(st.sampled_from(LABELS), max_size=2).map(tuple)),
    max_size=12,
)
agents_strategy = st.lists(
    st.builds(
        lambda key, labels, slots, draining: ReadyAgent(
            key, key, frozenset(labels), tuple(labels), slots, is_draining=draining
        ),
        st.uuids().map(str),
        st.sets(st.sampled_from(LABELS)),
        st.integers(1, 3),
        st.booleans(),
    ),
    max_size=6,
)


@given(jobs_strategy, agents_strategy, st.data())
def test_every_job_is_picked_or_told_why_not_and_no_agent_gets_too_much(
    jobs: list[WaitingJob], agents: list[ReadyAgent], data: st.DataObject
) -> None:
    in_use = {one.id: data.draw(st.integers(0, one.slots)) for one in agents}
    choice = choose(jobs, agents, in_use)
    by_id = {one.id: one for one in agents}
    assert {job for job, _ in choice.picks} | set(choice.waits) == {job.id for job in jobs}
    assert len(choice.picks) + len(choice.waits) == len(jobs)
    assert all(choice.waits.values())
    labels = {job.id: job.labels for job in jobs}
    for job, chosen in choice.picks:
        in_use[chosen] += 1
        assert set(labels[job]) <= by_id[chosen].labels
        assert not by_id[chosen].is_draining
    assert all(in_use[one.id] <= one.slots for one in agents)
    # Nobody waits for a slot that is free.
    free = [one for one in agents if not one.is_draining and in_use[one.id] < one.slots]
    assert not any(set(labels[job]) <= one.labels for job in choice.waits for one in free)
