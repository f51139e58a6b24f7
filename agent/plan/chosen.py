"""Chosen jobs and cells: what of a flow was asked for (`--job`, `--matrix`). A word that means nothing is an error.

A cell is left out by the keys that it has: the other jobs of the flow, whose matrices know nothing of a key, run.
"""

from collections.abc import Iterator, Mapping, Sequence

from agent.errors import AgentError, UsageError
from agent.flow.expressions import has_expression
from agent.flow.model import Flow, Starts
from agent.plan.matrix import Cell, expand_matrix
from agent.plan.needs import ancestors


def choose_jobs(flow: Flow, only: Sequence[str]) -> list[str]:
    """The flow's jobs in its order: all, or the named ones with all that they need. Raises UsageError, also where none is named of a flow that starts
    chosen jobs only.
    """
    if not only and flow.starts is Starts.CHOSEN:
        raise UsageError(
            "it has to be said which of its jobs are to run",
            where=flow.file,
            hint=f"it has {', '.join(flow.jobs)}",
        )
    for name in only:
        if name not in flow.jobs:
            raise UsageError(
                f"the flow has no job '{name}'", where=flow.file, hint=f"it has {', '.join(flow.jobs)}"
            )
    if not only:
        return list(flow.jobs)
    wanted = set(only).union(*(ancestors(flow, name) for name in only))
    return [name for name in flow.jobs if name in wanted]


def choose_cells(cells: Sequence[Cell], only: Mapping[str, str]) -> list[Cell]:
    """Those of a matrix that were asked for."""
    return [cell for cell in cells if _is_wanted(cell.values, only)]


def check_cells(flow: Flow, only: Mapping[str, str]) -> None:
    """Raises UsageError for a key or a value that no matrix of the flow has, where all of them are written out."""
    if not only:
        return
    try:
        cells = [cell.values for matrix in _list_matrices(flow) for cell in expand_matrix(matrix)]
    except (
        _NotWrittenOutError,
        AgentError,
    ):  # a matrix is made by an expression, or is wrong: its job will say so
        return
    for key, value in only.items():
        values = list(dict.fromkeys(str(cell[key]) for cell in cells if key in cell))
        if not values:
            keys = list(dict.fromkeys(name for cell in cells for name in cell))
            hint = f"they have {', '.join(keys)}" if keys else "the flow has no matrix"
            raise UsageError(f"no matrix has the key '{key}'", where="--matrix", hint=hint)
        if value not in values:
            raise UsageError(
                f"no matrix has '{value}' for '{key}'", where="--matrix", hint=f"there is {', '.join(values)}"
            )
    if not any(_is_wanted(cell, only) and only.keys() & cell.keys() for cell in cells):
        words = ", ".join(f"{key}:{value}" for key, value in only.items())
        raise UsageError(f"no cell of a matrix is {words}", where="--matrix")


class _NotWrittenOutError(Exception):
    """What a matrix holds is known when its job's turn comes."""


def _list_matrices(flow: Flow) -> Iterator[object]:
    for job in flow.jobs.values():
        if job.strategy.matrix is not None:
            _expect_written_out(job.strategy.matrix)
            yield job.strategy.matrix
    for called in flow.called.values():
        yield from _list_matrices(called)


def _expect_written_out(value: object) -> None:
    match value:
        case str() if has_expression(value):
            raise _NotWrittenOutError
        case Mapping():
            for item in value.values():
                _expect_written_out(item)
        case list() | tuple():
            for item in value:
                _expect_written_out(item)
        case _:
            pass


def _is_wanted(values: Mapping[str, object], only: Mapping[str, str]) -> bool:
    return all(str(values[key]) == value for key, value in only.items() if key in values)
