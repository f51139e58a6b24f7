"""Names that a composite action's expressions read and that cannot be there: of its inputs, its steps, GitHub's contexts."""

from collections.abc import Iterator
from typing import Final

from agent.flow.dialects.github.table.members import (
    JOB,
    NO_JOB_MEMBER,
    NO_STEP_MEMBER,
    NOT_ABOVE,
    STEP,
    VOCABULARY,
)
from agent.flow.expressions import ExpressionError, fold_case, has_expression, parse, split_template, to_text
from agent.flow.expressions.condition import HASH_FILES, STATUS_FUNCTIONS
from agent.flow.members import (
    Known,
    Members,
    Missing,
    Path,
    explain_missing,
    follow,
    list_doubts,
    names_of,
)
from agent.flow.problems import Problem, Severity
from agent.flow.source import Mapping, Node, Scalar, Sequence, key_text

_FUNCTIONS: Final = {**STATUS_FUNCTIONS, "hashfiles": HASH_FILES}
_MOST_PROBLEMS: Final = 100
_NO_INPUT: Final = "the action declares no such input"
_LATE: Final = "continue-on-error"  # asked when the step is done: it sees itself


def check_action_members(manifest: Node) -> list[Problem]:
    """A warning for each such name of a composite action's manifest, and each undeclared input of a container action's words.

    What is no expression is passed over: whoever runs the action says what is wrong with it.
    """
    runs = _find(manifest, "runs")
    steps = _find(runs, "steps")
    inputs = [key_text(key) for key, _ in _pairs(_find(manifest, "inputs"))]
    if not isinstance(steps, Sequence):
        return _check_words(runs, names_of(inputs, _NO_INPUT))
    done = Members({}, "no step of this action has that id", elsewhere=_list_later(steps))
    known: dict[str, Known] = {
        **VOCABULARY.fixed,
        "inputs": names_of(inputs, _NO_INPUT),
        "job": names_of(JOB, NO_JOB_MEMBER),
        "steps": done,
    }
    problems: dict[Problem, None] = {}
    for step in steps.items:
        _check(step, known, problems)
        identifier = _find(step, "id")
        if isinstance(identifier, Scalar):
            done.add(
                to_text(identifier.value),
                names_of(STEP, NO_STEP_MEMBER),
            )
    _check(_find(manifest, "outputs"), known, problems)
    return sorted(problems, key=lambda found: (found.position.line, found.position.column))


def _check_words(runs: Node | None, inputs: Members) -> list[Problem]:
    problems: dict[Problem, None] = {}
    for key in ("args", "env"):
        _check(_find(runs, key), {"inputs": inputs}, problems)
    return list(problems)


def _list_later(steps: Sequence) -> dict[str, tuple[str, str]]:
    ids = [_find(step, "id") for step in steps.items]
    return {fold_case(to_text(each.value)): NOT_ABOVE for each in ids if isinstance(each, Scalar)}


def _check(node: Node | None, known: dict[str, Known], problems: dict[Problem, None]) -> None:
    for scalar, path in _list_doubts(node):
        found = follow(known.get(path[0]), path)
        if isinstance(found, Missing) and len(problems) < _MOST_PROBLEMS:
            message, hint = explain_missing(found) or ("", "")
            problems[Problem(scalar.position, message, hint, Severity.WARNING)] = None


def _list_doubts(node: Node | None) -> Iterator[tuple[Scalar, Path]]:
    """Each doubtful path of a node, with where it stands."""
    waiting: list[tuple[Node, bool]] = [] if node is None else [(node, False)]
    while waiting:
        current, is_condition = waiting.pop()
        if isinstance(current, Scalar):
            for text in _list_expressions(to_text(current.value), is_condition=is_condition):
                yield from ((current, path) for path in _read_doubts(text))
        elif isinstance(current, Sequence):
            waiting += [(item, False) for item in current.items]
        else:
            waiting += [
                (value, key_text(key) == "if") for key, value in _pairs(current) if key_text(key) != _LATE
            ]


def _list_expressions(text: str, *, is_condition: bool) -> list[str]:
    if not has_expression(text):
        return [text] if is_condition else []
    try:
        return [piece.text for piece in split_template(text) if piece.is_expression]
    except ExpressionError:
        return []


def _read_doubts(text: str) -> tuple[Path, ...]:
    try:
        return list_doubts(parse(text, functions=_FUNCTIONS), VOCABULARY)
    except ExpressionError:
        return ()


def _find(node: Node | None, key: str) -> Node | None:
    return node.find(key) if isinstance(node, Mapping) else None


def _pairs(node: Node | None) -> list[tuple[Scalar, Node]]:
    return node.pairs if isinstance(node, Mapping) else []
