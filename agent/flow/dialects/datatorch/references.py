"""References of a step's templates to steps and jobs that cannot have ended by then: warnings, for the step will fail."""

from collections.abc import Collection, Iterator
from functools import lru_cache

from agent.flow.expressions import fold_case, has_expression, member_paths, parse, split_template
from agent.flow.members import find_close
from agent.flow.nodes import Mapping, Node, Scalar, Sequence
from agent.flow.reading import Reader

_SHORT = 200  # characters of a text that is worth remembering


class KnownBefore:
    """What the steps of one job may read: the steps above, by name and id, and the jobs that theirs needs."""

    def __init__(self, needs: Collection[str]) -> None:
        self._steps: dict[str, str] = {}
        self._needs = {fold_case(need): need for need in needs}

    def add(self, *names: str) -> None:
        """A step of these names is done."""
        self._steps.update({fold_case(name): name for name in names if name})

    def check(self, reader: Reader, node: Node | None) -> None:
        """Warn of each reference in a node that leads to nothing."""
        for scalar in _scalars(node):
            assert isinstance(scalar.value, str)
            find = _find_short if len(scalar.value) <= _SHORT else _list_paths
            for context, name in find(scalar.value):
                if context == "steps" and fold_case(name) not in self._steps:
                    self._warn(
                        reader, scalar, f"no step above is called '{name}'", name, self._steps.values()
                    )
                elif context == "needs" and fold_case(name) not in self._needs:
                    hint = f"write `needs: [{name}]` in this one"
                    reader.warn(scalar, f"this job doesn't wait for the job '{name}'", hint)

    def _warn(self, reader: Reader, node: Node, message: str, name: str, known: Collection[str]) -> None:
        close = find_close(name, known)
        hint = f"did you mean `{close}`?" if close else f"known here: {', '.join(known) or 'none'}"
        reader.warn(node, f"{message}: this step would fail", hint)


def _scalars(node: Node | None) -> Iterator[Scalar]:
    """Those with an expression in them."""
    waiting = [] if node is None else [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Scalar):
            if isinstance(current.value, str) and has_expression(current.value):
                yield current
        elif isinstance(current, Sequence):
            waiting += current.items
        elif isinstance(current, Mapping):
            waiting += [value for _, value in current.pairs]


@lru_cache(maxsize=2048)
def _find_short(text: str) -> tuple[tuple[str, str], ...]:
    """Remembered: the same paths stand in flow after flow."""
    return _list_paths(text)


def _list_paths(text: str) -> tuple[tuple[str, str], ...]:
    """Context and name of each path in a text."""
    return tuple(
        (path[0], path[1])
        for piece in split_template(text)
        if piece.is_expression
        for path in member_paths(parse(piece.text))
        if len(path) > 1
    )
