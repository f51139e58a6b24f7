"""Environments and concurrency groups: what holds a job back, and what lets it go."""

from support.flows import Run, calling, flow_of

from agent.flow.model import Flow
from agent.plan import (
    AskGate,
    GateSet,
    GroupEntered,
    GroupLost,
    JobApproved,
    JobRejected,
    JoinGroup,
    LeaveGroup,
    RunCancelled,
    explain_waiting,
)
from agent.plan.concurrency import MAX_WAITING, ConcurrencyGroup, join, leave

STEPS = "runs-on: x, steps: [{run: 'true'}]"
DEPLOY = f"deploy: {{environment: {{name: prod, url: 'https://x/${{{{ steps.a.outputs.b }}}}'}}, {STEPS}}}"


def whole(run_level: str, jobs: str) -> Flow:
    return calling(f"on: push\n{run_level}\njobs:\n  {jobs}\n")


def why(run: Run) -> dict[str, str]:
    return dict(explain_waiting(run.flow, run.state, now=run.now))


def test_a_job_waits_for_its_environment_until_enough_people_and_enough_time_have_passed() -> None:
    run = Run(flow_of(DEPLOY))
    assert [decision for decision in run.decisions if isinstance(decision, AskGate)] == [
        AskGate(run.id("deploy"), "deploy", "prod")
    ]
    assert why(run) == {"deploy": "waits for the environment 'prod'"}
    run.handle(GateSet(run.id("deploy"), approvals=2, wait_seconds=600))
    assert why(run) == {"deploy": "waits for an approval to enter the environment 'prod' (0 of 2)"}
    run.handle(JobApproved(run.id("deploy"), "ada"))
    run.handle(JobApproved(run.id("deploy"), "ada"))
    assert run.queued() == [], "one person is one approval"
    run.handle(JobApproved(run.id("deploy"), "ben"))
    assert run.state.due_at == 600
    assert why(run) == {"deploy": "waits for the wait timer of the environment 'prod': 10 min more"}
    run.pass_time(599)
    assert run.queued() == []
    run.pass_time(1)
    assert run.spec("deploy").environment == "prod"
    assert run.spec("deploy").environment_url == "https://x/${{ steps.a.outputs.b }}"


def test_an_environment_without_rules_lets_pass_at_once() -> None:
    run = Run(flow_of(DEPLOY))
    run.handle(GateSet(run.id("deploy")))
    assert run.queued() == ["deploy"]


def test_a_rejected_job_fails_and_so_does_one_that_nobody_lets_in_for_a_month() -> None:
    run = Run(flow_of(DEPLOY))
    run.handle(GateSet(run.id("deploy"), approvals=1))
    run.handle(JobRejected(run.id("deploy"), "ada", "not on a Friday"))
    result = run.state.jobs["deploy"].result
    assert result is not None
    assert result.message == "ada did not let the job pass: not on a Friday"
    assert run.conclusion() == "failure"
    late = Run(flow_of(DEPLOY))
    late.handle(GateSet(late.id("deploy"), approvals=1))
    late.pass_time(30 * 24 * 3600)
    assert late.conclusion() == "failure"


def test_a_refusal_by_rule_fails_the_job() -> None:
    run = Run(flow_of(DEPLOY))
    run.handle(GateSet(run.id("deploy"), refusal="the branch may not deploy"))
    assert run.results() == {"deploy": "failure"}


def test_a_gated_job_is_cancelled_at_once_and_a_late_approval_changes_nothing() -> None:
    run = Run(flow_of(DEPLOY))
    run.handle(GateSet(run.id("deploy"), approvals=1))
    job = run.id("deploy")
    run.cancel()
    run.handle(JobApproved(job, "ada"))
    assert run.queued() == []
    assert run.conclusion() == "cancelled"


def test_an_approval_counts_for_one_attempt() -> None:
    run = Run(flow_of(DEPLOY))
    first = run.id("deploy")
    run.handle(GateSet(first, approvals=1))
    run.handle(JobApproved(first, "ada"))
    run.finish("deploy", "failure")
    run.again(only_failed=True)
    run.handle(JobApproved(first, "ada"))
    run.handle(GateSet(run.id("deploy"), approvals=1))
    run.handle(JobApproved(first, "ada"))
    assert run.queued() == []


def test_a_job_waits_for_its_group_and_leaves_it_at_its_end() -> None:
    run = Run(flow_of(f"a: {{concurrency: 'g-${{{{ github.job }}}}', {STEPS}}}"))
    (wish,) = (decision for decision in run.decisions if isinstance(decision, JoinGroup))
    assert (wish.member, wish.place.group) == ("a", "g-a")
    assert why(run) == {"a": "waits for the concurrency group 'g-a'"}
    run.handle(GroupEntered("a", "G-A"))
    assert run.queued() == ["a"]
    run.finish("a")
    assert LeaveGroup("a", "g-a") in run.decisions


def test_a_job_that_loses_its_place_is_cancelled_whether_it_waits_or_runs() -> None:
    flow = flow_of(f"a: {{concurrency: g, {STEPS}}}")
    waiting = Run(flow)
    waiting.handle(GroupLost("a", "g", "a newer one"))
    assert waiting.conclusion() == "cancelled"
    assert LeaveGroup("a", "g") in waiting.decisions
    running = Run(flow)
    running.handle(GroupEntered("a", "g"))
    running.handle(GroupLost("a", "g", "a newer one"))
    assert running.state.jobs["a"].cancel_requested
    assert running.conclusion() is None
    running.finish("a", "cancelled")
    assert LeaveGroup("a", "g") in running.decisions


def test_a_run_waits_for_its_group_before_any_job_and_leaves_it_when_it_has_ended() -> None:
    run = Run(whole("concurrency: {group: deploy, cancel-in-progress: true}", f"a: {{{STEPS}}}"))
    assert run.queued() == []
    assert why(run) == {"a": "waits for the concurrency group 'deploy'"}
    run.handle(GroupEntered("", "deploy"))
    run.finish("a")
    assert run.conclusion() == "success"
    assert run.decisions[-1] == LeaveGroup("", "deploy")


def test_a_run_that_never_got_its_place_runs_nothing_not_even_always() -> None:
    run = Run(whole("concurrency: deploy", f"a: {{if: always(), {STEPS}}}"))
    run.handle(GroupLost("", "deploy", "a newer run"))
    assert run.queued() == []
    assert run.conclusion() == "cancelled"
    assert run.decisions[-1] == LeaveGroup("", "deploy")


def test_a_job_that_wants_the_group_of_its_own_run_or_caller_is_told_of_the_deadlock() -> None:
    run = Run(whole("concurrency: deploy", f"a: {{concurrency: Deploy, {STEPS}}}"))
    run.handle(GroupEntered("", "deploy"))
    assert run.conclusion() == "cancelled"
    called = calling(
        "on: push\njobs: {a: {concurrency: g, uses: ./inner.yml}}",
        inner=f"on: workflow_call\njobs: {{b: {{concurrency: g, {STEPS}}}}}",
    )
    run = Run(called)
    run.handle(GroupEntered("a", "g"))
    message = run.state.jobs["a / b"].result
    assert message is not None
    assert (
        message.message == "a deadlock for concurrency group 'g' was detected: the job 'a' is in it already"
    )


def test_a_called_flows_own_group_is_its_callers_to_enter() -> None:
    flow = calling(
        "on: push\njobs: {a: {concurrency: first, uses: ./inner.yml, with: {w: x}}}",
        inner=f"on: {{workflow_call: {{inputs: {{w: {{type: string}}}}}}}}\nconcurrency: 'second-${{{{ inputs.w }}}}'\njobs: {{b: {{{STEPS}}}}}",
    )
    run = Run(flow)
    run.handle(GroupEntered("a", "first"))
    assert run.queued() == []
    run.handle(GroupEntered("a", "second-x"))
    assert run.queued() == ["a / b"]
    run.finish("a / b")
    left = [decision.group for decision in run.decisions if isinstance(decision, LeaveGroup)]
    assert left == ["first", "second-x"]


def test_a_group_without_a_name_fails_its_job() -> None:
    run = Run(flow_of(f"a: {{concurrency: '${{{{ github.nothing }}}}', {STEPS}}}"))
    result = run.state.jobs["a"].result
    assert result is not None
    assert "Concurrency group name cannot be empty" in result.message


def test_a_forced_cancel_asks_no_condition_and_waits_for_nobody() -> None:
    run = Run(flow_of(f"a: {{if: always(), {STEPS}}}\nb: {{needs: a, if: always(), {STEPS}}}"))
    run.cancel()
    assert not run.state.jobs["a"].cancel_requested
    job = run.id("a")
    run.handle(RunCancelled("now", is_forced=True))
    assert run.conclusion() == "cancelled"
    assert run.results() == {"a": "cancelled", "b": "cancelled"}
    assert [decision.is_forced for decision in run.decisions if hasattr(decision, "is_forced")] == [True]
    assert run.state.jobs["a"].id == job


# The rule of a group by itself


def enter(
    group: ConcurrencyGroup[str], member: str, *, cancels: bool = False, queue: str = "single"
) -> ConcurrencyGroup[str]:
    return join(group, member, cancel_in_progress=cancels, queue=queue)[0]


def test_the_first_enters_the_newest_waits_and_sends_away_who_waited() -> None:
    group, verdicts = join(ConcurrencyGroup[str](), "a", cancel_in_progress=False, queue="single")
    assert verdicts.entered == ("a",)
    group = enter(group, "b")
    group, verdicts = join(group, "c", cancel_in_progress=False, queue="single")
    assert [member for member, _ in verdicts.lost] == ["b"]
    group, verdicts = leave(group, "a")
    assert (group.inside, verdicts.entered) == ("c", ("c",))


def test_cancel_in_progress_asks_the_one_inside_to_end_and_waits_for_it() -> None:
    group, verdicts = join(enter(ConcurrencyGroup[str](), "a"), "b", cancel_in_progress=True, queue="single")
    assert (group.inside, group.waiting) == ("a", ("b",))
    assert [member for member, _ in verdicts.lost] == ["a"]


def test_a_long_queue_is_served_in_order_up_to_a_hundred() -> None:
    group = enter(ConcurrencyGroup[str](), "a")
    for number in range(MAX_WAITING):
        group = enter(group, f"m{number}", queue="max")
    full, verdicts = join(group, "late", cancel_in_progress=False, queue="max")
    assert full == group
    assert [member for member, _ in verdicts.lost] == ["late"]
    group, verdicts = leave(group, "a")
    assert verdicts.entered == ("m0",)


def test_joining_and_leaving_twice_changes_nothing() -> None:
    group = enter(enter(ConcurrencyGroup[str](), "a"), "b")
    assert enter(group, "b") == group
    assert enter(group, "a") == group
    assert leave(group, "nobody")[0] == group
    assert leave(leave(group, "b")[0], "b")[0] == leave(group, "b")[0]
