"""No flow makes the planner work without end."""

import pytest
from support.flows import flow_of, request

from agent.errors import UsageError
from agent.flow.load import load_flow
from agent.plan import EndJob, JobFinished, QueueJob, RunCancelled, advance, begin, name_run
from agent.plan.rerun import Again, rerun
from agent.spec.outcome import Conclusion, JobResult

LARGE = {"event": {"commits": [{"message": f"é {number} {'m' * 250}"} for number in range(10_000)]}}
MANY = "".join(
    f"  j{number}:\n    runs-on: linux\n    if: contains(toJSON(github.event), 'zz{number}')\n"
    "    steps: [{run: echo}]\n"
    for number in range(400)
)


COSTLY = " || ".join(["contains(toJSON(github.event), 'zz')"] * 30)


def test_conditions_over_a_large_event_are_refused_where_they_stand_once_they_cost_too_much() -> None:
    flow = load_flow(f"on: push\njobs:\n{MANY}", "flow.yml").flow
    _, decisions = begin(flow, request(github=LARGE), now=0)
    ends = [decision for decision in decisions if isinstance(decision, EndJob)]
    told = [end.result.message for end in ends if "cost too much" in end.result.message]
    assert len(ends) == 400
    assert len(told) > 300
    assert told[-1].startswith("flow.yml:1599:3: the expressions cost too much")
    assert "(success() && (contains(toJSON(github.event), 'zz399'))" in told[-1]


def test_a_condition_over_an_ordinary_event_is_no_matter() -> None:
    flow = load_flow(f"on: push\njobs:\n{MANY}", "flow.yml").flow
    small = {"event": {"commits": LARGE["event"]["commits"][:20]}}
    _, decisions = begin(flow, request(github=small), now=0)
    assert not any(
        "cost" in decision.result.message for decision in decisions if isinstance(decision, EndJob)
    )


def test_a_condition_that_is_due_later_in_a_run_has_a_budget_too() -> None:
    costly = " || ".join(["contains(vars.L, 'x')"] * 10)
    flow = flow_of(
        f"a: {{runs-on: x, steps: [{{run: 'true'}}]}}\n"
        f"b: {{needs: a, if: \"{costly}\", runs-on: x, steps: [{{run: 'true'}}]}}"
    )
    state, decisions = begin(flow, request(vars={"L": "." * 4_000_000}), now=0)
    (queued,) = [decision for decision in decisions if isinstance(decision, QueueJob)]
    finished = JobFinished(queued.spec.job, JobResult(Conclusion.SUCCESS))
    _, decisions = advance(flow, state, finished, now=1)
    (end,) = [decision for decision in decisions if isinstance(decision, EndJob)]
    assert "cost too much" in end.result.message


def test_jobs_that_are_run_again_have_a_budget_too() -> None:
    costly = " || ".join(["contains(vars.L, 'x')"] * 10)
    flow = flow_of(f"a: {{if: \"{costly}\", runs-on: x, steps: [{{run: 'true'}}]}}")
    state, _ = begin(flow, request(vars={"L": "." * 4_000_000}), now=0)
    assert state.conclusion is Conclusion.FAILURE
    _, decisions = rerun(flow, state, Again(only_failed=True), now=1)
    (end,) = [decision for decision in decisions if isinstance(decision, EndJob)]
    assert "cost too much" in end.result.message


def test_a_run_whose_conditions_cost_too_much_can_be_cancelled() -> None:
    jobs = "".join(
        f"  j{number}:\n    runs-on: linux\n    if: ${{{{ !cancelled() || {COSTLY} }}}}\n"
        "    steps: [{run: echo}]\n"
        for number in range(2)
    )
    flow = load_flow(f"on: push\njobs:\n{jobs}", "f.yml").flow
    state, decisions = begin(flow, request(github=LARGE), now=0)
    assert sum(isinstance(decision, QueueJob) for decision in decisions) == 2
    _, decisions = advance(flow, state, RunCancelled("enough"), now=1)
    assert len(decisions) == 2


@pytest.mark.parametrize("key", ["concurrency", "run-name"])
def test_a_group_or_a_name_that_costs_too_much_is_told_with_its_place(key: str) -> None:
    costly = " || ".join(["contains(vars.L, 'x')"] * 10)
    flow = load_flow(
        f"on: push\n{key}: a ${{{{ {costly} }}}}\njobs: {{a: {{runs-on: linux, steps: [{{run: echo}}]}}}}\n",
        "flow.yml",
    ).flow
    wanted = request(vars={"L": "." * 4_000_000})
    with pytest.raises(UsageError, match=rf"cost too much.*flow\.yml: {key}"):
        begin(flow, wanted, now=0) if key == "concurrency" else name_run(flow, wanted)


def test_names_of_many_cells_are_bounded_too() -> None:
    long = " || ".join(["matrix.a == 999"] * 1000)
    flow = flow_of(
        "a:\n  runs-on: linux\n  strategy: {matrix: {a: '${{ fromJSON(vars.A) }}'}}\n"
        f"  name: ${{{{ {long} }}}}\n  steps: [{{run: echo}}]\n"
    )
    _, decisions = begin(flow, request(vars={"A": str(list(range(256)))}), now=0)
    assert any("cost too much" in str(decision) for decision in decisions)
