"""Sources from outside a run, as far as they can be known before anything starts."""

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from agent.errors import AgentError
from agent.flow.model import Flow, Job
from agent.plan.contexts import node_contexts
from agent.plan.data import evaluate_bring
from agent.plan.scopes import written_job
from agent.plan.state import RunState
from agent.spec.data import Bring, BringKind, KeepKind

if TYPE_CHECKING:
    from agent.flow.data import BroughtData

_FROM_OUTSIDE = (BringKind.TAG, BringKind.LAST, BringKind.RUN, BringKind.DATASET)
_LATER = ("needs.", "needs[", "matrix.", "matrix[", "strategy.", "strategy[")


def list_sources(flow: Flow, state: RunState) -> Iterator[Bring]:
    """What must be there when the run begins, of the jobs that are sure to have their turn unless another one fails.

    Left out is what is known later: what hangs on other jobs or on a cell of a matrix, jobs with a condition of their own,
    and datasets that a job of this run makes.
    """
    written = {node: written_job(flow, state, node) for node in state.nodes}
    made = {str(keep.name) for job in written.values() for keep in job.keeps if keep.kind == KeepKind.DATASET}
    for node, job in written.items():
        if state.nodes[node].result is not None or job.condition != "success()":
            continue
        for bring in _list_of(flow, state, node, job):
            if bring.kind is not BringKind.DATASET or not _may_be_made(bring.of, made):
                yield bring


def _may_be_made(wanted: str, made: Collection[str]) -> bool:
    """Whether a job of the run makes a version of the dataset, as far as its name can be known."""
    name = wanted.partition(":")[0]
    return any("${{" in each or each.partition(":")[0] == name for each in made)


def _list_of(flow: Flow, state: RunState, node: str, job: Job) -> Iterator[Bring]:
    for bring in job.brings:
        if BringKind(bring.kind) not in _FROM_OUTSIDE or bring.is_optional or _is_known_later(bring):
            continue
        try:
            yield evaluate_bring(bring, node_contexts(flow, state, node))
        except AgentError:  # the job says so when it has its turn
            continue


def _is_known_later(bring: "BroughtData") -> bool:
    written = (bring.of, bring.job, bring.name, bring.project)
    return any(word in str(text) for text in written if "${{" in str(text) for word in _LATER)
