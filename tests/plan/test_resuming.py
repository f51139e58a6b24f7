"""The next try of a job that was interrupted, or lost with its machine."""

import pytest
from support.flows import Run, check_flow, flow_of

from agent.plan import ExplainEnd, JobFinished, JobStarted, QueueJob
from agent.spec.outcome import Conclusion, JobResult

STEPS = "runs-on: x, steps: [{run: 'true'}]"
RESUMABLE = f"a: {{interruptible: true, checkpoints: {{paths: m, tries: 2}}, {STEPS}}}"


def interrupt(run: Run, key: str) -> None:
    job = run.id(key)
    run.handle(JobStarted(job))
    run.handle(JobFinished(job, JobResult(Conclusion.INTERRUPTED, message="makes place")))


def resumes(run: Run) -> list[tuple[object, object]]:
    return [(spec.context("resume")["attempt"], spec.context("resume")["reason"]) for spec in run.specs()]


def test_an_interrupted_job_is_queued_again_at_once_at_its_old_place_and_uses_up_no_budget() -> None:
    run = Run(flow_of(RESUMABLE))
    for _ in range(5):
        run.now += 100
        interrupt(run, "a")
    assert resumes(run) == [(1, ""), *((float(n), "interrupted") for n in range(2, 7))]
    assert [d.ranked_at for d in run.decisions if isinstance(d, QueueJob)] == [0.0] * 6
    assert run.results() == {}, "an interruption is nobody's failure, and no end"
    run.finish("a")
    assert run.conclusion() == "success"


def test_a_lost_job_goes_on_until_its_budget_is_used_up_and_then_says_so() -> None:
    run = Run(flow_of(RESUMABLE))
    for _ in range(2):
        run.fail("a", "lost")
    assert resumes(run) == [(1, ""), (2, "lost"), (3, "lost")]
    run.fail("a", "lost")
    assert run.conclusion() == "failure"
    (told,) = [decision for decision in run.decisions if isinstance(decision, ExplainEnd)]
    assert told.result.message.endswith("its 2 tries to go on after losses are used up")


def test_interruptions_and_losses_leave_the_tries_of_retry_alone() -> None:
    run = Run(
        flow_of(
            f"a: {{interruptible: true, checkpoints: m, retry: {{max: 1, backoff: {{seconds: 0}}}}, {STEPS}}}"
        )
    )
    interrupt(run, "a")
    run.fail("a", "lost")
    run.fail("a")
    assert resumes(run)[-1] == (4, "failed")
    run.fail("a")
    assert run.conclusion() == "failure"


def test_a_job_without_checkpoints_that_is_lost_fails_as_it_always_did() -> None:
    run = Run(flow_of(f"a: {{{STEPS}}}"))
    run.fail("a", "lost")
    assert run.conclusion() == "failure"
    assert "resume" not in run.specs()[0].contexts


def test_a_cancelled_run_has_no_next_try_of_what_is_interrupted_meanwhile() -> None:
    run = Run(flow_of(RESUMABLE))
    run.handle(JobStarted(run.id("a")))
    run.cancel()
    run.handle(JobFinished(run.id("a"), JobResult(Conclusion.INTERRUPTED)))
    assert len(run.queued()) == 1
    assert run.conclusion() == "cancelled"


def test_the_steps_that_keep_stand_around_the_jobs_own_behind_its_checkouts() -> None:
    run = Run(flow_of("a: {checkpoints: m, runs-on: x, steps: [{uses: actions/checkout@v4}, {run: ls}]}"))
    assert [step.id for step in run.specs()[0].steps][1:] == [
        "__restore",
        "__checkpoint",
        "__run",
        "__end_checkpoint",
        "__last_checkpoint",
    ]


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("{paths: m, every: soon}", "'checkpoints.every' is no time from 1 s to 24 h: 'soon'"),
        ("{paths: m, tries: 1.5}", "'checkpoints.tries' is no whole number from 0 to 1000: '1.5'"),
        ("{paths: m, keep: 0}", "'checkpoints.keep' is no whole number from 1 to 100: '0'"),
        ("{paths: []}", "'checkpoints' needs 1 to 100 paths, and none is empty"),
        ("{every: 1m}", "Required property is missing: paths"),
    ],
)
def test_what_is_wrong_with_checkpoints_is_told_at_its_place(written: str, complaint: str) -> None:
    text = f"on: push\njobs:\n  a:\n    runs-on: x\n    checkpoints: {written}\n    steps: [{{run: ls}}]\n"
    (problem,) = check_flow(text, "f.yml")
    assert complaint in problem.message
    assert problem.position.line == 5
