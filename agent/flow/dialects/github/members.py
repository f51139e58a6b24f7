"""Names that expressions read and that cannot be there: of inputs, steps, needs, a matrix, and GitHub's own contexts.

Looks only where something stands that the reader could not settle from the expression alone. What a key of the flow may
still bring (an expression for a whole matrix, an `insert`) is taken for anything: better no warning than a wrong one.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from agent.flow.dialects.github.known import FlowContexts, JobContexts
from agent.flow.dialects.github.parts import list_fields, list_pairs, text_of
from agent.flow.dialects.github.table.members import NOT_ABOVE
from agent.flow.expressions import fold_case
from agent.flow.members import Known, Members, Missing, Path, follow, show_path
from agent.flow.model import OutputRead
from agent.flow.reading import Reader
from agent.flow.source import Mapping, Node, Scalar, Sequence

Find = Callable[[str], Known]

_NO_STEP: Final = "no step of this job has that id"


def check_members(reader: Reader, fields: dict[str, Node]) -> tuple[OutputRead, ...]:
    """Warn at every expression of a flow that reads a name which cannot be there.

    `fields` are the flow's tidied keys. Gives what is read of outputs that other files declare.
    """
    if not reader.doubts:
        return ()
    flow = FlowContexts(fields)
    check = _Check(reader)
    for name, node in fields.items():
        if name != "jobs":
            check.walk(node, flow.find)
    for _, job in list_pairs(fields.get("jobs")):
        _check_job(check, flow, list_fields(job))
    return tuple(check.outputs_read)


def _check_job(check: "_Check", flow: FlowContexts, fields: dict[str, Node]) -> None:
    """A job's steps in their order, each seeing those above it; then its other keys, which see them all."""
    job = JobContexts(flow, fields)
    steps = _list_steps(fields.get("steps"))
    later = {fold_case(identifier): NOT_ABOVE for step in steps for identifier in _list_ids(step)}
    job.steps = Members({}, _NO_STEP, elsewhere=later)
    for step in steps:
        _check_step(check, job, step)
    for name, node in fields.items():
        if name != "steps":
            check.walk(node, job.find)


def _check_step(check: "_Check", job: JobContexts, step: Mapping) -> None:
    children = _list_steps(step.find("parallel"))
    for child in children:  # they run side by side: what one sees of another, time tells
        job.add_step(child)
    for child in children:
        _check_step(check, job, child)
    continues = step.find("continue-on-error")
    for _, node in step.pairs:
        if node is not continues:
            check.walk(node, job.find)
    job.add_step(step)
    if continues is not None:  # asked when the step is done: it sees itself
        check.walk(continues, job.find)


class _Check:
    """Holds the expressions of nodes against what their surroundings know."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.outputs_read: dict[OutputRead, None] = {}

    def walk(self, node: Node, find: Find) -> None:
        """Look at every expression in a node."""
        doubts = self._reader.doubts
        waiting = [node]
        while waiting:
            current = waiting.pop()
            if isinstance(current, Scalar):
                if id(current) in doubts:
                    self._check_scalar(current, doubts[id(current)], find)
            elif isinstance(current, Sequence):
                waiting += current.items
            elif isinstance(current, Mapping):
                for pair in current.pairs:
                    waiting += pair

    def _check_scalar(self, node: Scalar, paths: Iterable[Path], find: Find) -> None:
        for path in paths:
            found = follow(find(path[0]), path)
            if isinstance(found, Missing):
                self._reader.warn_missing(node, found)
            elif found is not None:
                outside, name = found
                read = OutputRead(node.position, show_path(path), name, outside.uses, outside.is_call)
                self.outputs_read[read] = None


def _list_steps(node: Node | None) -> list[Mapping]:
    return [item for item in node.items if isinstance(item, Mapping)] if isinstance(node, Sequence) else []


def _list_ids(step: Mapping) -> Iterator[str]:
    for each in (step, *_list_steps(step.find("parallel"))):
        identifier = text_of(each.find("id"))
        if identifier:
            yield identifier
