"""Matrix expansion, GitHub's way (github-facts.md, section 1; runner: Conversion/MatrixBuilder).

1. the cross product of the vectors, the first key slowest;
2. a cell goes when any `exclude` matches it in all of its keys;
3. each `include` whose keys that are vectors match an original cell adds its other keys to that cell (a later one
   wins, an original value is never overwritten); an `include` that matched no cell is a cell of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

from agent.errors import UsageError
from agent.flow.expressions import loose_equal, spend, to_text

MAX_CELLS = 256
MAX_PRODUCT = 65_536  # cells before `exclude`: nobody could read a matrix that needs more
MAX_LABEL = 100


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination: what the `matrix` context holds, and the values that name the job."""

    values: Mapping[str, object]
    label: str


def expand_matrix(matrix: object) -> list[Cell]:
    """The cells of an evaluated `strategy.matrix`.

    Raises UsageError when it is not a mapping of lists, a vector is empty, an `exclude` names an unknown key, or
    there are more than 256 cells, or by far too many before some were excluded. Draws on the open budget.
    """
    if not isinstance(matrix, Mapping):
        raise UsageError("the matrix is not a mapping", where="strategy.matrix")
    vectors = {
        str(key): _vector(str(key), value)
        for key, value in matrix.items()
        if key not in ("include", "exclude")
    }
    includes, excludes = _filters(matrix, "include"), _filters(matrix, "exclude")
    for exclude in excludes:
        _check_exclude(exclude, vectors)
    _check_size(vectors, includes, excludes)
    originals = (
        [dict(zip(vectors, values, strict=True)) for values in product(*vectors.values())] if vectors else []
    )
    kept = [cell for cell in originals if not any(_matches(cell, exclude) for exclude in excludes)]
    cells = [Cell(extended, _label(cell)) for cell, extended in _extend(kept, includes, vectors)]
    if len(cells) > MAX_CELLS:
        raise UsageError(
            f"the matrix gives {len(cells)} jobs; at most {MAX_CELLS} are allowed", where="strategy.matrix"
        )
    return cells


def _check_size(vectors: Mapping[str, list[object]], *filters: list[Mapping[str, object]]) -> None:
    size = prod(map(len, vectors.values()))
    if size > MAX_PRODUCT:
        raise UsageError(
            f"the matrix gives {size} jobs before any are excluded; at most {MAX_PRODUCT} are looked at",
            where="strategy.matrix",
        )
    spend(steps=size * (1 + sum(map(len, filters))))  # each is held against each


def _vector(key: str, value: object) -> list[object]:
    values = list(value) if isinstance(value, (list, tuple)) else None
    if values is None:
        raise UsageError(f"matrix vector '{key}' is not a list", where="strategy.matrix")
    if not values:
        raise UsageError(f"Matrix vector '{key}' does not contain any values", where="strategy.matrix")
    return values


def _filters(matrix: Mapping[object, object], key: str) -> list[Mapping[str, object]]:
    value = matrix.get(key)
    entries = list(value) if isinstance(value, (list, tuple)) else [] if value is None else None
    if entries is None or not all(isinstance(entry, Mapping) for entry in entries):
        raise UsageError(f"'{key}' is not a list of mappings", where="strategy.matrix")
    return entries


def _check_exclude(exclude: Mapping[str, object], vectors: Mapping[str, object]) -> None:
    for key in exclude:
        if key not in vectors:
            raise UsageError(
                f"Matrix exclude key '{key}' does not match any key within the matrix",
                where="strategy.matrix",
            )


def _extend(
    cells: list[dict[str, object]], includes: list[Mapping[str, object]], vectors: Mapping[str, object]
) -> list[tuple[Mapping[str, object], dict[str, object]]]:
    """Pairs of (the values that name the job, all of its values), with the includes worked in."""
    extended = [dict(cell) for cell in cells]
    added: list[dict[str, object]] = []
    for include in includes:
        wanted = {key: value for key, value in include.items() if key in vectors}
        matched = [index for index, cell in enumerate(cells) if _matches(cell, wanted)]
        for index in matched:
            extended[index].update({key: value for key, value in include.items() if key not in vectors})
        if not matched:
            added.append(dict(include))
    return [*zip(cells, extended, strict=True), *((entry, entry) for entry in added)]


def _matches(value: object, wanted: object) -> bool:
    """Whether `wanted` is found in `value`: mappings by their wanted keys, lists whole, the rest by `==`."""
    if isinstance(wanted, Mapping):
        return isinstance(value, Mapping) and all(
            key in value and _matches(value[key], item) for key, item in wanted.items()
        )
    if isinstance(wanted, (list, tuple)):
        return (
            isinstance(value, (list, tuple))
            and len(value) == len(wanted)
            and all(_matches(*pair) for pair in zip(value, wanted, strict=True))
        )
    return loose_equal(value, wanted)


def _label(cell: Mapping[str, object]) -> str:
    text = ", ".join(leaf for leaf in _leaves(cell) if leaf)
    return text if len(text) <= MAX_LABEL else text[: MAX_LABEL - 3] + "..."


def _leaves(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in _leaves(item)]
    return [to_text(value)]
