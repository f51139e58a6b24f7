"""A job that is tried again, a run that is run again, and the name of a run."""

import pytest
from support.flows import Run, calling, check_flow, flow_of, request

from agent.errors import UsageError
from agent.flow.retry import read_retry
from agent.plan import QueueJob, explain_waiting, name_run
from agent.plan.rerun import Again, rerun

STEPS = "runs-on: x, steps: [{run: 'true'}]"
CHAIN = f"""
    a: {{{STEPS}}}
    b: {{needs: a, strategy: {{fail-fast: false, matrix: {{v: [1, 2]}}}}, {STEPS}}}
    c: {{needs: b, {STEPS}}}
    d: {{needs: a, {STEPS}}}
"""


def test_a_job_is_tried_again_after_its_rest_under_a_new_id_as_often_as_it_says() -> None:
    run = Run(flow_of(f"a: {{retry: {{max: 2, backoff: {{seconds: 10, factor: 3}}}}, {STEPS}}}"))
    ids = [run.id("a")]
    run.fail("a")
    assert run.conclusion() is None
    assert run.state.due_at == 10
    assert explain_waiting(run.flow, run.state, now=4) == {"a": "failed; attempt 2 begins in 6 s"}
    run.pass_time(9)
    assert len(run.queued()) == 1
    run.pass_time(1)
    ids.append(run.id("a"))
    assert [spec.attempt for spec in run.specs()] == [1, 2]
    run.fail("a")
    assert run.state.due_at == 40
    run.pass_time(30)
    ids.append(run.id("a"))
    assert len(set(ids)) == 3
    run.fail("a")
    assert run.conclusion() == "failure"


def test_a_retry_that_succeeds_makes_good_and_keeps_siblings_going() -> None:
    run = Run(flow_of(f"a: {{retry: 1, strategy: {{matrix: {{v: [1, 2]}}}}, {STEPS}}}"))
    run.fail("a (1)")
    assert not run.state.jobs["a (2)"].cancel_requested, "fail-fast looks at the last try"
    run.pass_time(10)
    run.finish("a (1)")
    run.finish("a (2)")
    assert run.conclusion() == "success"


@pytest.mark.parametrize(
    ("on", "kind", "code", "is_tried_again"),
    [
        ("failure", "user", 1, True),
        ("failure", "lost", None, True),
        ("[lost, gpu]", "lost", None, True),
        ("[lost, gpu]", "user", 1, False),
        ("infrastructure", "infrastructure", None, True),
        ("[75]", "user", 75, True),
        ("75", "user", 75, True),
        ("[75]", "user", 1, False),
    ],
)
def test_only_what_the_job_names_is_tried_again(
    on: str, kind: str, code: int | None, is_tried_again: bool
) -> None:
    run = Run(flow_of(f"a: {{retry: {{max: 1, on: {on}, backoff: {{seconds: 0}}}}, {STEPS}}}"))
    run.fail("a", kind, code)
    assert (len(run.queued()) == 2) is is_tried_again


def test_nothing_is_tried_again_once_the_run_is_cancelled() -> None:
    run = Run(flow_of(f"a: {{retry: 5, {STEPS}}}\nb: {{if: always(), retry: 5, {STEPS}}}"))
    run.cancel()
    run.fail("a")
    run.fail("b")
    assert run.conclusion() == "cancelled"


def test_a_resting_job_is_cancelled_at_once() -> None:
    run = Run(flow_of(f"a: {{retry: 5, {STEPS}}}"))
    run.fail("a")
    run.cancel()
    assert run.conclusion() == "cancelled"
    run.pass_time(100)
    assert len(run.queued()) == 1


def test_a_late_word_about_an_earlier_try_changes_nothing() -> None:
    run = Run(flow_of(f"a: {{retry: {{max: 1, backoff: {{seconds: 0}}}}, {STEPS}}}"))
    first = run.id("a")
    run.fail("a")
    from agent.plan import JobFinished
    from agent.spec.outcome import Conclusion, JobResult

    run.handle(JobFinished(first, JobResult(Conclusion.SUCCESS)))
    assert run.conclusion() is None
    run.finish("a")
    assert run.conclusion() == "success"


def test_the_rest_grows_to_its_longest() -> None:
    retry = read_retry({"max": 9, "backoff": {"seconds": 5, "factor": 4, "most": 60}}, "here")
    assert [retry.delay(tries) for tries in (1, 2, 3, 4, 900)] == [5, 20, 60, 60, 60]


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("retry: -1", "no number of retries from 0 to 1000"),
        ("retry: 1.5", "no number of retries"),
        ("retry: {max: 2, on: [nope]}", "'retry.on' doesn't know 'nope'"),
        ("retry: {max: 2, on: 300}", "'retry.on' doesn't know '300'"),
        ("retry: {max: 2, backoff: {seconds: -1}}", "'retry.backoff.seconds' is no number"),
        ("retry: {on: lost}", "Required property is missing: max"),
    ],
)
def test_what_is_wrong_with_a_retry_is_said_at_its_place(written: str, complaint: str) -> None:
    problems = check_flow(
        f"on: push\njobs:\n  a:\n    {written}\n    runs-on: x\n    steps: [{{run: 'true'}}]\n", "f.yml"
    )
    assert [problem.position.line for problem in problems] == [4]
    assert complaint in problems[0].message


def test_a_retry_from_an_expression_that_makes_no_sense_fails_the_job() -> None:
    run = Run(flow_of(f"a: {{retry: \"${{{{ fromJSON('-3') }}}}\", {STEPS}}}"))
    assert run.results() == {"a": "failure"}


# Re-runs


def ended() -> Run:
    """a ok, b (1) ok, b (2) failed, c skipped, d ok."""
    run = Run(flow_of(CHAIN), request(github={"run_attempt": "1", "triggering_actor": "ada"}))
    run.finish("a", x="1")
    run.finish("b (1)")
    run.finish("b (2)", "failure")
    run.finish("d")
    assert run.conclusion() == "failure"
    return run


def test_all_of_a_run_runs_again_with_new_ids() -> None:
    run = ended()
    first = run.id("a")
    run.again(actor="ben")
    assert run.queued() == ["a"]
    assert run.id("a") != first
    github = run.spec("a").contexts["github"]
    assert (github["run_attempt"], github["triggering_actor"]) == ("2", "ben")


def test_failed_jobs_run_again_with_their_dependants_and_the_rest_keeps_its_results() -> None:
    run = ended()
    kept = {key: run.id(key) for key in ("a", "b (1)", "d")}
    run.again(only_failed=True)
    assert run.queued() == ["b (2)"]
    assert {key: run.id(key) for key in kept} == kept
    assert run.spec("b (2)").contexts["needs"] == {"a": {"result": "success", "outputs": {"x": "1"}}}
    run.finish("b (2)")
    run.finish("c")
    assert run.conclusion() == "success"


def test_one_job_runs_again_with_its_dependants() -> None:
    run = ended()
    run.again(jobs=("b",))
    assert run.queued() == ["b (1)", "b (2)"]
    run = ended()
    run.again(jobs=("b (1)",))
    assert run.queued() == ["b (1)"]
    assert run.results() == {"a": "success", "b (2)": "failure", "d": "success"}


def test_failed_jobs_of_called_flows_run_again_inside_their_call() -> None:
    inner = f"on: workflow_call\njobs: {{x: {{{STEPS}}}, y: {{{STEPS}}}, z: {{needs: y, {STEPS}}}}}"
    run = Run(
        calling(
            "on: push\njobs: {call: {uses: ./inner.yml}, after: {needs: call, runs-on: x, steps: [{run: x}]}}",
            inner=inner,
        )
    )
    run.finish("call / x")
    run.finish("call / y", "failure")
    assert run.conclusion() == "failure"
    run.again(only_failed=True)
    assert run.queued() == ["call / y"]
    run.finish("call / y")
    run.finish("call / z")
    run.finish("after")
    assert run.conclusion() == "success"
    run.again(jobs=("call",))
    assert run.queued() == ["call / x", "call / y"]


def test_a_job_that_was_cancelled_before_its_matrix_was_known_is_expanded_in_the_next_attempt() -> None:
    run = Run(flow_of(CHAIN))
    run.cancel()
    run.finish("a", "cancelled")
    assert run.conclusion() == "cancelled"
    run.again(only_failed=True)
    run.finish("a")
    assert run.queued() == ["a", "b (1)", "b (2)", "d"]


def test_a_re_run_needs_an_end_something_to_run_and_known_names() -> None:
    run = Run(flow_of(CHAIN))
    with pytest.raises(UsageError, match="has not ended"):
        run.again()
    done = Run(flow_of(f"a: {{{STEPS}}}"))
    done.finish("a")
    with pytest.raises(UsageError, match="no job of the run failed"):
        done.again(only_failed=True)
    with pytest.raises(UsageError, match="no job 'nope'"):
        done.again(jobs=("nope",))


def test_secrets_that_were_set_meanwhile_are_seen_and_a_strangers_run_sees_none() -> None:
    flow = flow_of("a: {runs-on: x, environment: e, steps: [{run: '${{ secrets.NEW }}'}]}")
    for trusted, seen in ((True, ("NEW",)), (False, ())):
        run = Run(flow, request(sees_secrets=trusted))
        run.cancel()
        run.again(secrets=("NEW",))
        from agent.plan import GateSet

        run.handle(GateSet(run.id("a")))
        assert run.spec("a").secrets == seen


def test_planning_again_gives_the_same_ids_and_debug_is_a_variable() -> None:
    run = ended()
    first = rerun(run.flow, run.state, Again(is_debug=True), now=5)
    assert first == rerun(run.flow, run.state, Again(is_debug=True), now=5)
    (queued,) = (decision for decision in first[1] if isinstance(decision, QueueJob))
    assert queued.spec.contexts["vars"]["ACTIONS_STEP_DEBUG"] == "true"


# Names


def test_a_runs_name_is_evaluated_and_falls_back_to_the_flows() -> None:
    flow = calling(
        "name: Train\nrun-name: '${{ inputs.model }} by ${{ github.actor }}'\non: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}"
    )
    assert name_run(flow, request(inputs={"model": "resnet"}, github={"actor": "ada"})) == "resnet by ada"
    blank = calling(
        "name: Train\nrun-name: '${{ inputs.none }}'\non: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}"
    )
    assert name_run(blank, request()) == "Train"
    with pytest.raises(UsageError, match="name can't be evaluated"):
        name_run(
            calling(
                "run-name: '${{ fromJSON(inputs.none) }}'\non: push\njobs: {a: {runs-on: x, steps: [{run: x}]}}"
            ),
            request(),
        )
