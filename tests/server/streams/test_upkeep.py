"""What is done for a deployment, by how its runs stand: the rules alone, without a server."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.server.store.deployments import DeploymentRow, ReplicaRow, ReplicaRun
from agent.server.streams.upkeep import (
    FIRST_REST_SECONDS,
    LEAVING,
    LONGEST_REST_SECONDS,
    OUTGROWN,
    REDEPLOYED,
    TOO_MANY,
    UNDEPLOYED,
    WELL_SECONDS,
    CancelRun,
    plan_upkeep,
)
from agent.spec.status import RunStatus

ROW = DeploymentRow(
    7, 1, "relay", "Relay", "relay.yaml", "", None, "{}", "{}", None, "[]", 2, 3, 0, "ada", 0.0, 0.0, None
)


def a_run(number: int, replica: int = 0, generation: int = 3, **more: object) -> ReplicaRun:
    run = ReplicaRun(
        number, 7, "relay", replica, generation, 100.0, None, RunStatus.RUNNING, None, None, False, False
    )
    return replace(run, **more)


def ended(number: int, seconds: float, **more: object) -> ReplicaRun:
    over = {"status": RunStatus.COMPLETED, "conclusion": "failure", "ended_at": 100.0 + seconds}
    return a_run(number, **{**over, **more})


def test_each_place_without_a_run_gets_one() -> None:
    assert plan_upkeep(ROW, [], [], 0.0).starts == (0, 1)
    assert plan_upkeep(ROW, [a_run(1, 1)], [], 0.0).starts == (0,)
    calm = plan_upkeep(ROW, [a_run(1), a_run(2, 1)], [], 0.0)
    assert (calm.starts, calm.cancels, calm.due_at, calm.is_over) == ((), (), None, False)


def test_a_run_that_ended_is_followed_after_a_rest_that_grows_and_is_short_again_when_it_went_well() -> None:
    one = replace(ROW, replicas=1)
    place, now, rests = ReplicaRow(0), 1000.0, []
    for number in range(12):
        plan = plan_upkeep(one, [ended(number, 5.0)], [place], now)
        assert (plan.ended, plan.starts) == ((number,), ())
        (place,) = plan.places
        assert plan.due_at == place.due_at
        rests.append(place.due_at - now)
        assert plan_upkeep(one, [], [place], place.due_at).starts == (0,)
    assert rests[:4] == [FIRST_REST_SECONDS * factor for factor in (1, 2, 4, 8)]
    assert rests[-1] == LONGEST_REST_SECONDS
    (place,) = plan_upkeep(one, [ended(20, WELL_SECONDS)], [place], now).places
    assert (place.failures, place.due_at) == (1, now + FIRST_REST_SECONDS)
    assert "run 20: it ended: failure" in place.message


def test_a_new_generation_takes_over_while_the_old_one_drains() -> None:
    old = [a_run(1, 0, 2), a_run(2, 1, 2)]
    plan = plan_upkeep(ROW, old, [], 0.0)
    assert plan.cancels == (CancelRun(1, REDEPLOYED), CancelRun(2, REDEPLOYED))
    assert plan.starts == (0, 1)
    asked = [replace(run, cancel_reason=REDEPLOYED) for run in old]
    later = plan_upkeep(ROW, [*asked, a_run(3), a_run(4, 1)], [], 0.0)
    assert (later.cancels, later.starts) == ((), ())
    assert later.due_at is not None


def test_what_may_not_be_at_work_twice_waits_until_the_old_one_has_ended() -> None:
    alone = replace(ROW, replicas=1, is_alone=1)
    plan = plan_upkeep(alone, [a_run(1, 0, 2)], [], 0.0)
    assert (plan.cancels, plan.starts) == ((CancelRun(1, REDEPLOYED),), ())
    after = plan_upkeep(alone, [ended(1, 9.0, generation=2, cancel_reason=REDEPLOYED)], [], 0.0)
    assert (after.ended, after.starts) == ((1,), (0,))


def test_fewer_replicas_and_none_at_all() -> None:
    fewer = plan_upkeep(replace(ROW, replicas=1), [a_run(1), a_run(2, 1)], [ReplicaRow(1, 5, 9.0)], 0.0)
    assert (fewer.cancels, fewer.starts, fewer.is_over) == ((CancelRun(2, TOO_MANY),), (), False)
    none = replace(ROW, replicas=0)
    ending = plan_upkeep(none, [a_run(1)], [], 0.0)
    assert (ending.cancels, ending.is_over) == ((CancelRun(1, UNDEPLOYED),), False)
    assert plan_upkeep(none, [ended(1, 1.0)], [], 0.0).is_over
    assert plan_upkeep(none, [], [], 0.0).is_over


def test_an_agent_that_takes_no_new_jobs_has_its_runs_move_at_once() -> None:
    one = replace(ROW, replicas=1)
    plan = plan_upkeep(one, [a_run(1, is_leaving=True)], [], 0.0)
    assert (plan.cancels, plan.starts) == ((CancelRun(1, LEAVING),), ())
    after = plan_upkeep(one, [ended(1, 3.0, cancel_reason=LEAVING)], [ReplicaRow(0, 3, None)], 0.0)
    assert after.starts == (0,)
    assert after.places[0].failures == 3
    full = plan_upkeep(one, [a_run(1, has_outgrown=True)], [], 0.0)
    assert full.cancels == (CancelRun(1, OUTGROWN),)
    assert plan_upkeep(one, [ended(1, 3.0, cancel_reason=OUTGROWN)], [], 0.0).starts == (0,)


RUNS = st.builds(
    ReplicaRun,
    run=st.integers(1, 99),
    deployment=st.just(7),
    name=st.just("relay"),
    replica=st.integers(0, 3),
    generation=st.integers(1, 3),
    begun_at=st.none() | st.floats(0, 100),
    ended_at=st.none() | st.floats(100, 10_000),
    status=st.sampled_from(RunStatus),
    conclusion=st.none() | st.just("failure"),
    cancel_reason=st.none() | st.just("x"),
    is_leaving=st.booleans(),
    has_outgrown=st.booleans(),
)


@given(
    st.lists(RUNS, max_size=8, unique_by=lambda run: run.run),
    st.integers(0, 3),
    st.booleans(),
    st.lists(st.builds(ReplicaRow, st.integers(0, 3), st.integers(0, 40), st.none() | st.floats(0, 9999))),
)
def test_no_place_ever_gets_two_runs_and_none_is_forgotten(
    runs: list[ReplicaRun], wanted: int, is_alone: bool, places: list[ReplicaRow]
) -> None:
    row = replace(ROW, replicas=wanted, is_alone=int(is_alone))
    plan = plan_upkeep(row, runs, places, 5000.0)
    live = [run for run in runs if run.status is not RunStatus.COMPLETED]
    own = {run.replica for run in live if run.generation == row.generation}
    assert not set(plan.starts) & own
    assert len(set(plan.starts)) == len(plan.starts)
    assert not (is_alone and live and plan.starts)
    for number in range(wanted):
        is_served = number in own or number in plan.starts
        assert is_served or plan.due_at is not None or (is_alone and live)
    assert set(plan.ended) == {run.run for run in runs if run.status is RunStatus.COMPLETED}
