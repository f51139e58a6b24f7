"""How several ends become one, and the ends of jobs that never ran."""

from collections.abc import Iterable

from agent.errors import AgentError
from agent.plan.draft import Draft
from agent.plan.state import NodeState
from agent.spec.outcome import Conclusion, FailureKind, JobResult

_WORST_FIRST = (Conclusion.FAILURE, Conclusion.CANCELLED, Conclusion.SUCCESS)


def worst(conclusions: Iterable[Conclusion]) -> Conclusion:
    """What a group of jobs came to: a failure beats a cancel, which beats a success; nothing at all is skipped."""
    found = set(conclusions)
    return next((conclusion for conclusion in _WORST_FIRST if conclusion in found), Conclusion.SKIPPED)


def combine_jobs(draft: Draft, node: NodeState) -> tuple[Conclusion, dict[str, str]]:
    """What dependants see of a node: the worst of its jobs, and their outputs with later cells winning."""
    outputs: dict[str, str] = {}
    conclusions: set[Conclusion] = set()
    for key in node.jobs:
        job = draft.jobs[key]
        assert job.result is not None
        outputs.update({name: value for name, value in job.result.outputs.items() if value})
        tolerated = job.continue_on_error and job.result.conclusion is Conclusion.FAILURE
        conclusions.add(Conclusion.SUCCESS if tolerated else job.result.conclusion)
    return worst(conclusions), outputs


def cancelled(reason: str) -> JobResult:
    """The result of a job that was cancelled before anybody ran it."""
    return JobResult(Conclusion.CANCELLED, failure_kind=FailureKind.CANCELLED, message=reason)


def impossible(error: AgentError) -> JobResult:
    """The result of a job that can't be made ready to run: its flow is at fault."""
    return failed(str(error))


def failed(message: str) -> JobResult:
    """A failure that its flow, or a person, brought about."""
    return JobResult(Conclusion.FAILURE, failure_kind=FailureKind.USER, message=message)
