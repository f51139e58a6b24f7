"""What holds for every run, whatever its graph and whatever happens in whatever order; and how it must end.

By hand, at length: `pytest tests/plan/test_properties.py --hypothesis-profile=long`.
"""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plan.model import World, expect, happenings, sketches
from support.flows import Run

from agent.plan import JobPhase
from agent.spec.outcome import Conclusion

# 40 examples each in every test run; as many as the profile says when that is the long one (conftest.py).
_EXAMPLES = max(40, settings().max_examples if settings().max_examples > 100 else 0)
quick = settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

OUTCOMES = st.sampled_from((Conclusion.SUCCESS, Conclusion.SUCCESS, Conclusion.FAILURE, Conclusion.CANCELLED))


@quick
@given(st.data())
def test_a_run_ends_as_the_model_says_whatever_the_order_of_events(data: st.DataObject) -> None:
    sketch = data.draw(sketches(is_wild=False))
    ends: dict[str, Conclusion] = {}

    def outcome(key: str) -> Conclusion:
        return ends.setdefault(key, data.draw(OUTCOMES, label=key))

    world = World(Run(sketch.flow()))
    for _ in range(data.draw(st.integers(0, 15))):
        if world.run.state.conclusion is None:
            event = data.draw(happenings(world, may_cancel=False))
            if event is not None:
                world.happen(event)
            if world.out() and data.draw(st.booleans()):
                key = data.draw(st.sampled_from(world.out()))
                world.finish(key, outcome(key))
    world.drain(outcome)
    results = {key: node.result for key, node in world.run.state.nodes.items()}
    expected = expect(sketch, outcome)
    assert results == {key: expected[key] for key in results}
    assert expected.keys() - results.keys() == set(), "every called flow was opened"


@quick
@given(st.data())
def test_every_run_ends_once_leaves_every_group_and_forgets_no_job(data: st.DataObject) -> None:
    world = World(Run(data.draw(sketches(is_wild=True)).flow()), approvals=data.draw(st.integers(0, 2)))
    for _ in range(data.draw(st.integers(0, 30))):
        event = data.draw(happenings(world, may_cancel=True))
        if event is not None:
            world.happen(event)
    world.drain(lambda key: data.draw(OUTCOMES, label=key))
    assert world.run.conclusion() == world.run.state.conclusion
    assert all(node.result is not None for node in world.run.state.nodes.values())
    assert all(job.phase is JobPhase.ENDED for job in world.run.state.jobs.values())


@quick
@given(st.data())
def test_a_re_run_of_what_failed_keeps_the_rest_and_ends_too(data: st.DataObject) -> None:
    world = World(Run(data.draw(sketches(is_wild=True)).flow()))
    world.drain(lambda key: data.draw(OUTCOMES, label=key))
    before = dict(world.run.state.jobs)
    bad = (Conclusion.FAILURE, Conclusion.CANCELLED)
    if not any(job.result is not None and job.result.conclusion in bad for job in before.values()):
        return
    world.run.again(only_failed=True)
    after = World(world.run)
    kept = [job for job in after.run.state.jobs.values() if job.run_attempt == 1]
    assert all(job == before[job.key] for job in kept), "what is kept is as it was"
    assert all(
        job.result is not None and job.result.conclusion not in bad
        for job in kept
        if job.key not in after.run.state.scopes
    )
    after.drain(lambda _key: Conclusion.SUCCESS)
    assert all(job.phase is JobPhase.ENDED for job in after.run.state.jobs.values())
