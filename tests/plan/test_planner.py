"""The run's state machine, rule by rule."""

import pytest
from support.flows import Run, flow_of, request

from agent.errors import UsageError
from agent.plan import (
    CancelJob,
    EndJob,
    JobFinished,
    JobPhase,
    JobStarted,
    RunCancelled,
    begin,
    explain_waiting,
    refused,
)
from agent.plan.transitions import Move, next_phase
from agent.spec.outcome import Conclusion, JobResult

STEPS = "runs-on: x, steps: [{run: 'true'}]"
CHAIN = f"""
    a: {{{STEPS}}}
    b: {{needs: a, {STEPS}}}
    c: {{needs: [a, b], {STEPS}}}
"""


def test_jobs_without_needs_are_queued_at_once_and_the_rest_when_their_needs_have_ended() -> None:
    run = Run(flow_of(CHAIN))
    assert run.queued() == ["a"]
    run.finish("a")
    assert run.queued() == ["a", "b"]
    run.finish("b")
    assert run.queued() == ["a", "b", "c"]
    run.finish("c")
    assert run.conclusion() == "success"


def test_a_failure_skips_what_needs_it_and_fails_the_run() -> None:
    run = Run(flow_of(CHAIN))
    decisions = run.finish("a", "failure")
    assert [(end.key, end.result.conclusion) for end in decisions if isinstance(end, EndJob)] == [
        ("b", Conclusion.SKIPPED),
        ("c", Conclusion.SKIPPED),
    ]
    assert run.conclusion() == "failure"


def test_conditions_see_needs_and_status() -> None:
    run = Run(
        flow_of(f"""
            a: {{{STEPS}}}
            on-failure: {{needs: a, if: failure(), {STEPS}}}
            in-any-case: {{needs: a, if: always(), {STEPS}}}
            by-result: {{needs: a, if: "always() && needs.a.result == 'failure'", {STEPS}}}
            not-this: {{needs: a, if: "needs.a.outputs.x == 'y'", {STEPS}}}
        """)
    )
    run.finish("a", "failure", x="y")
    assert run.queued() == ["a", "on-failure", "in-any-case", "by-result"]


def test_success_looks_at_all_ancestors_not_only_at_direct_needs() -> None:
    run = Run(
        flow_of(f"""
            a: {{if: false, {STEPS}}}
            b: {{needs: a, if: always(), {STEPS}}}
            c: {{needs: b, {STEPS}}}
            d: {{needs: b, if: "!cancelled() && needs.b.result == 'success'", {STEPS}}}
        """)
    )
    run.finish("b")
    assert run.queued() == ["b", "d"], "c is behind the skipped a"


def test_outputs_reach_the_needs_context_and_the_spec() -> None:
    run = Run(
        flow_of(f"a: {{{STEPS}}}\nb: {{needs: a, name: 'after ${{{{ needs.a.outputs.x }}}}', {STEPS}}}")
    )
    run.finish("a", x="y")
    assert run.spec("b").name == "after y"
    assert run.spec("b").contexts["needs"] == {"a": {"result": "success", "outputs": {"x": "y"}}}
    assert run.spec("b").contexts["github"]["job"] == "b"


def test_a_condition_that_cannot_be_evaluated_fails_its_job_with_the_reason() -> None:
    run = Run(flow_of(f"a: {{if: \"fromJSON('nope')\", {STEPS}}}"))
    (end,) = (decision for decision in run.decisions if isinstance(decision, EndJob))
    assert end.result.conclusion is Conclusion.FAILURE
    assert "Error parsing JSON" in end.result.message
    assert run.conclusion() == "failure"


def test_a_job_that_cannot_be_compiled_fails_with_the_reason() -> None:
    run = Run(flow_of("a: {runs-on: \"${{ fromJSON('[]').x }}\", steps: [{run: 'true'}]}"))
    (end,) = (decision for decision in run.decisions if isinstance(decision, EndJob))
    assert "runs-on" in end.result.message


def test_continue_on_error_keeps_the_run_green_and_its_dependants_running() -> None:
    run = Run(flow_of(f"a: {{continue-on-error: true, {STEPS}}}\nb: {{needs: a, {STEPS}}}"))
    run.finish("a", "failure")
    run.finish("b")
    assert run.conclusion() == "success"


MATRIX = f"a: {{strategy: {{matrix: {{v: [1, 2, 3]}}}}, {STEPS}}}"


def test_a_matrix_becomes_one_job_a_cell() -> None:
    run = Run(flow_of(MATRIX))
    assert run.queued() == ["a (1)", "a (2)", "a (3)"]
    assert run.spec("a (2)").contexts["matrix"] == {"v": 2}
    assert run.spec("a (2)").contexts["strategy"] == {
        "fail-fast": True,
        "job-index": 1,
        "job-total": 3,
        "max-parallel": 3,
    }


def test_fail_fast_cancels_the_other_cells() -> None:
    run = Run(flow_of(MATRIX))
    decisions = run.finish("a (1)", "failure")
    assert {decision.job for decision in decisions if isinstance(decision, CancelJob)} == {
        run.id("a (2)"),
        run.id("a (3)"),
    }
    run.finish("a (2)", "cancelled")
    run.finish("a (3)", "cancelled")
    assert run.conclusion() == "failure"


def test_fail_fast_false_lets_them_finish() -> None:
    run = Run(flow_of(MATRIX.replace("matrix:", "fail-fast: false, matrix:")))
    decisions = run.finish("a (1)", "failure")
    assert decisions == ()


def test_max_parallel_holds_the_rest_back() -> None:
    run = Run(flow_of(MATRIX.replace("matrix:", "max-parallel: 2, matrix:")))
    assert run.queued() == ["a (1)", "a (2)"]
    run.finish("a (2)")
    assert run.queued() == ["a (1)", "a (2)", "a (3)"]


def test_held_cells_are_cancelled_by_fail_fast_without_ever_being_queued() -> None:
    run = Run(flow_of(MATRIX.replace("matrix:", "max-parallel: 1, matrix:")))
    run.finish("a (1)", "failure")
    assert run.queued() == ["a (1)"]
    assert run.conclusion() == "failure"


def test_a_matrix_from_an_expression_is_expanded_when_its_needs_have_ended() -> None:
    run = Run(
        flow_of(f"""
            plan: {{{STEPS}}}
            a: {{needs: plan, strategy: {{matrix: "${{{{ fromJSON(needs.plan.outputs.m) }}}}"}}, {STEPS}}}
        """)
    )
    run.finish("plan", m='{"v": ["x", "y"]}')
    assert run.queued() == ["plan", "a (x)", "a (y)"]


def test_an_impossible_matrix_fails_its_job() -> None:
    run = Run(
        flow_of(f"""
            plan: {{{STEPS}}}
            a: {{needs: plan, strategy: {{matrix: "${{{{ fromJSON(needs.plan.outputs.m) }}}}"}}, {STEPS}}}
        """)
    )
    run.finish("plan", m='{"v": []}')
    assert run.state.jobs["a"].result is not None
    assert "does not contain any values" in run.state.jobs["a"].result.message


def test_outputs_of_matrix_cells_merge_and_empty_ones_do_not_overwrite() -> None:
    run = Run(flow_of(MATRIX + f"\nb: {{needs: a, {STEPS}}}"))
    run.finish("a (1)", x="one", y="kept")
    run.finish("a (3)", x="three", y="")
    run.finish("a (2)", x="two")
    assert run.spec("b").contexts["needs"]["a"] == {
        "result": "success",
        "outputs": {"x": "three", "y": "kept"},
    }


def test_cancelling_ends_running_jobs_and_spares_those_that_run_always() -> None:
    run = Run(flow_of(f"a: {{{STEPS}}}\nb: {{if: always(), {STEPS}}}\nc: {{needs: a, {STEPS}}}"))
    run.handle(JobStarted(run.id("a")))
    decisions = run.cancel()
    assert decisions == (CancelJob(run.id("a"), "enough"),)
    assert run.cancel() == (), "cancelling twice asks once"
    run.finish("a", "cancelled")
    assert run.state.jobs["c"].result is not None
    assert run.state.jobs["c"].result.conclusion is Conclusion.CANCELLED
    run.finish("b")
    assert run.conclusion() == "cancelled"


def test_a_terminal_state_wins_over_what_comes_late() -> None:
    run = Run(flow_of(f"a: {{{STEPS}}}"))
    run.finish("a")
    assert run.handle(JobFinished(run.id("a"), JobResult(Conclusion.FAILURE))) == ()
    assert run.handle(JobStarted(run.id("a"))) == ()
    assert run.handle(RunCancelled("late")) == ()
    assert run.conclusion() == "success"


def test_events_about_strangers_change_nothing() -> None:
    run = Run(flow_of(f"a: {{{STEPS}}}"))
    before = run.state
    assert run.handle(JobStarted(Run(flow_of(CHAIN)).id("a"))) == ()
    other = Run(flow_of(f"z: {{{STEPS}}}")).id("z")
    assert run.handle(JobFinished(other, JobResult(Conclusion.SUCCESS))) == ()
    assert run.state.jobs["a"].phase in (JobPhase.QUEUED, JobPhase.RUNNING)
    assert run.state.nodes == before.nodes


def test_only_jobs_brings_what_they_need() -> None:
    run = Run(flow_of(CHAIN + f"\n    d: {{{STEPS}}}"), request(only_jobs=("b",)))
    assert set(run.state.nodes) == {"a", "b"}
    with pytest.raises(UsageError, match="no job 'nope'"):
        begin(flow_of(CHAIN), request(only_jobs=("nope",)), now=0)


def test_only_cells_picks_from_the_matrix() -> None:
    run = Run(flow_of(f"a: {{strategy: {{matrix: {{v: [x, y]}}}}, {STEPS}}}"), request(only_cells={"v": "y"}))
    assert run.queued() == ["a (y)"]


def test_cells_are_left_out_by_the_keys_that_they_have() -> None:
    flow = flow_of(
        f"a: {{strategy: {{matrix: {{v: [x, y], w: [1, 2]}}}}, {STEPS}}}\n"
        f"b: {{strategy: {{matrix: {{os: [u]}}}}, {STEPS}}}\nc: {{{STEPS}}}"
    )
    assert Run(flow, request(only_cells={"v": "y"})).queued() == ["a (y, 1)", "a (y, 2)", "b (u)", "c"]


@pytest.mark.parametrize(
    ("matrix", "cells", "said"),
    [
        ("{v: [x, y]}", {"w": "x"}, "no matrix has the key 'w'.*they have v"),
        ("{v: [x, y]}", {"v": "z"}, "no matrix has 'z' for 'v'.*there is x, y"),
        ("{v: [1, true]}", {"v": "2"}, "there is 1, True"),
        ("{v: [x], include: [{w: q}]}", {"v": "x", "w": "r"}, "no matrix has 'r' for 'w'"),
        ("{v: [x, y], w: [1, 2], exclude: [{v: x, w: 2}]}", {"v": "x", "w": "2"}, "no cell .* is v:x, w:2"),
    ],
)
def test_a_cell_that_no_matrix_has_is_an_error(matrix: str, cells: dict[str, str], said: str) -> None:
    flow = flow_of(f"a: {{strategy: {{matrix: {matrix}}}, {STEPS}}}")
    with pytest.raises(UsageError, match=said):
        begin(flow, request(only_cells=cells), now=0)


def test_of_a_flow_without_a_matrix_no_cell_can_be_asked_for() -> None:
    with pytest.raises(UsageError, match="the flow has no matrix"):
        begin(flow_of(CHAIN), request(only_cells={"v": "x"}), now=0)


def test_what_a_matrix_made_by_an_expression_has_is_seen_when_it_is_made() -> None:
    flow = flow_of(f"a: {{strategy: {{matrix: {{v: '${{{{ fromJSON(vars.x) }}}}'}}}}, {STEPS}}}")
    begin(flow, request(only_cells={"v": "x"}), now=0)


def test_job_identifiers_are_the_same_when_a_run_is_planned_again() -> None:
    first, again = Run(flow_of(CHAIN)), Run(flow_of(CHAIN))
    assert first.id("a") == again.id("a")
    assert len({first.id("a"), *(Run(flow_of(MATRIX)).id(f"a ({n})") for n in (1, 2, 3))}) == 4


def test_waiting_jobs_name_the_needs_that_have_not_ended() -> None:
    run = Run(flow_of(CHAIN))
    assert explain_waiting(run.flow, run.state, now=0) == {
        "b": "waits for needs: a",
        "c": "waits for needs: a, b",
    }
    run.finish("a")
    assert explain_waiting(run.flow, run.state, now=0) == {"c": "waits for needs: b"}


def test_a_parallel_group_is_lowered_to_background_steps_and_a_wait() -> None:
    run = Run(flow_of("a: {runs-on: x, steps: [{parallel: [{id: p, run: 'true'}, {id: q, run: 'true'}]}]}"))
    first, second, wait = run.spec("a").steps
    assert (first.id, first.background, second.id, second.background) == ("p", True, "q", True)
    assert (wait.kind, wait.targets) == ("wait", ("p", "q"))


def test_a_move_that_the_table_does_not_have_is_a_bug_with_a_sentence() -> None:
    with pytest.raises(ValueError, match="a job that is ended can't queue"):
        next_phase(JobPhase.ENDED, Move.QUEUE)


def refuse(run: Run, key: str) -> None:
    run.handle(JobFinished(run.id(key), refused("it is no Mac")))


def test_a_cell_that_the_machine_cannot_run_is_skipped_and_the_run_is_not_green() -> None:
    run = Run(flow_of(MATRIX + f"\nb: {{needs: a, {STEPS}}}"))
    refuse(run, "a (3)")
    assert run.phases()["a (2)"] == "queued", "it is no failure that ends its siblings"
    run.finish("a (1)")
    run.finish("a (2)")
    assert run.results() == {"a (1)": "success", "a (2)": "success", "a (3)": "skipped", "b": "skipped"}
    assert run.conclusion() == "failure"


def test_a_refusal_is_not_made_good_by_continue_on_error_and_hides_no_failure() -> None:
    run = Run(flow_of(f"a: {{continue-on-error: true, {STEPS}}}"))
    refuse(run, "a")
    assert run.conclusion() == "failure"
    for end in ("failure", "cancelled"):
        run = Run(flow_of(MATRIX.replace("matrix:", "fail-fast: false, matrix:")))
        refuse(run, "a (3)")
        run.finish("a (1)", end)
        run.finish("a (2)")
        assert run.conclusion() == end
