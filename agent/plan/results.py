"""Results: how several ends become one, and the ends of jobs that never ran."""

from collections.abc import Iterable
from dataclasses import replace

from agent.errors import AgentError
from agent.flow.expressions import CostError
from agent.flow.model import Job
from agent.plan.draft import Draft
from agent.plan.state import NodeState
from agent.spec.outcome import Conclusion, FailureKind, JobResult

_WORST_FIRST = (Conclusion.FAILURE, Conclusion.CANCELLED, Conclusion.SUCCESS)


def worst(conclusions: Iterable[Conclusion]) -> Conclusion:
    """What a group of jobs came to: a failure beats a cancel, which beats a success; nothing at all is skipped."""
    found = set(conclusions)
    return next((conclusion for conclusion in _WORST_FIRST if conclusion in found), Conclusion.SKIPPED)


def combine_jobs(draft: Draft, node: NodeState) -> tuple[Conclusion, dict[str, object]]:
    """What dependants see of a node: the worst of its jobs, and their outputs with later cells winning.

    With a cell that was refused it counts as skipped: nothing is published from half a matrix.
    """
    outputs: dict[str, object] = {}
    results: list[JobResult] = []
    for key in node.jobs:
        job = draft.jobs[key]
        assert job.result is not None
        outputs.update({name: value for name, value in job.result.outputs.items() if value not in ("", None)})
        tolerated = job.continue_on_error and job.result.conclusion is Conclusion.FAILURE
        results.append(replace(job.result, conclusion=Conclusion.SUCCESS) if tolerated else job.result)
    found = worst(result.conclusion for result in results)
    refusal = find_refusal(results)
    return (Conclusion.SKIPPED if refusal and found is Conclusion.SUCCESS else found), outputs


def find_refusal(results: Iterable[JobResult | None]) -> JobResult | None:
    """The first that was refused, if any was."""
    return next((result for result in results if result is not None and result.was_refused), None)


def cancelled(reason: str) -> JobResult:
    """The result of a job that was cancelled before anybody ran it."""
    return JobResult(Conclusion.CANCELLED, failure_kind=FailureKind.CANCELLED, message=reason)


def refused(reason: str) -> JobResult:
    """The result of a job that the only machine there is can't run."""
    return JobResult(Conclusion.SKIPPED, failure_kind=FailureKind.INFRASTRUCTURE, message=reason)


def impossible(error: AgentError, written: Job) -> JobResult:
    """The result of a job that can't be made ready to run: its flow is at fault, where the job is `written`."""
    place = f"{written.position}: " if isinstance(error, CostError) else ""
    return failed(f"{place}{error}")


def failed(message: str) -> JobResult:
    """A failure that its flow, or a person, brought about."""
    return JobResult(Conclusion.FAILURE, failure_kind=FailureKind.USER, message=message)
