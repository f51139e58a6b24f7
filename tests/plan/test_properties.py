"""What holds for every run, whatever its graph and whatever happens in whatever order."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.flows import Run, flow_of

from agent.flow.model import Flow
from agent.plan import CancelJob, EndJob, Event, JobFinished, JobPhase, JobStarted, QueueJob, RunCancelled
from agent.spec.outcome import Conclusion, JobResult

CONDITIONS = st.sampled_from(["", "if: always(), ", "if: failure(), ", "if: '!cancelled()', "])
MATRICES = st.sampled_from(
    ["", "strategy: {matrix: {v: [1, 2]}}, ", "strategy: {max-parallel: 1, matrix: {v: [1, 2, 3]}}, "]
)


@st.composite
def flows(draw: st.DrawFn) -> Flow:
    """An acyclic flow of up to six jobs; each needs some of those before it."""
    lines = []
    for index in range(draw(st.integers(1, 6))):
        needs = draw(st.lists(st.integers(0, index - 1), unique=True, max_size=3)) if index else []
        names = ", ".join(f"j{need}" for need in needs)
        extra = draw(CONDITIONS) + draw(MATRICES)
        lines.append(f"j{index}: {{needs: [{names}], {extra}runs-on: x, steps: [{{run: 'true'}}]}}")
    return flow_of("\n".join(line.replace("needs: [], ", "") for line in lines))


def events(run: Run, draw: st.DrawFn) -> Event:
    """Something that may happen now: about a job that is known, ended ones included."""
    jobs = sorted(job.id for job in run.state.jobs.values() if job.phase is not JobPhase.HELD)
    kind = draw(
        st.sampled_from(["start", "success", "failure", "cancelled", "cancel"] if jobs else ["cancel"])
    )
    if kind == "cancel":
        return RunCancelled("enough")
    job = draw(st.sampled_from(jobs))
    return JobStarted(job) if kind == "start" else JobFinished(job, JobResult(Conclusion(kind)))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_run_ends_once_and_no_job_is_forgotten_or_decided_twice(data: st.DataObject) -> None:
    run = Run(data.draw(flows()))
    for _ in range(data.draw(st.integers(0, 25))):
        run.handle(events(run, data.draw))
        check(run)
    while run.state.conclusion is None:  # whoever is still out comes home
        out = [job.key for job in run.state.jobs.values() if job.phase in (JobPhase.QUEUED, JobPhase.RUNNING)]
        assert out, "a run that has not ended has a job out"
        run.finish(out[0], data.draw(st.sampled_from(["success", "failure", "cancelled"])))
        check(run)
    assert run.conclusion() == run.state.conclusion
    assert all(node.result is not None for node in run.state.nodes.values())
    assert all(job.phase is JobPhase.ENDED for job in run.state.jobs.values())


def check(run: Run) -> None:
    """The invariants, after each event."""
    queued = [decision.spec.job for decision in run.decisions if isinstance(decision, QueueJob)]
    ended = [decision.job for decision in run.decisions if isinstance(decision, EndJob)]
    cancelled = [decision.job for decision in run.decisions if isinstance(decision, CancelJob)]
    assert len(set(queued)) == len(queued), "queued once"
    assert len(set(ended)) == len(ended), "ended once"
    assert not set(queued) & set(ended), "what was queued ends by its own word"
    assert len(set(cancelled)) == len(cancelled), "cancelled once"
    assert set(cancelled) <= set(queued), "only what is out is cancelled"
    for name, node in run.state.nodes.items():
        needs = run.flow.jobs[name].needs
        if node.is_expanded:
            assert all(run.state.nodes[need].result is not None for need in needs), "needs come first"
        busy = [key for key in node.jobs if run.state.jobs[key].phase in (JobPhase.QUEUED, JobPhase.RUNNING)]
        assert not node.max_parallel or len(busy) <= node.max_parallel
