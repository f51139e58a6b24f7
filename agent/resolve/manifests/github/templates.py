"""Expressions of a manifest: each is read before anything runs, and held against the contexts that its place has.

Source: actions/runner `action_yaml.json`: a manifest that names another context there is refused at Set up job.
"""

from collections.abc import Iterator
from typing import Final

from agent.flow.context_scope import ContextScope
from agent.flow.expressions import (
    HASH_FILES,
    STATUS_FUNCTIONS,
    ExpressionError,
    FunctionInfo,
    has_expression,
    parse,
    split_template,
    to_text,
)
from agent.flow.problems import Problem
from agent.flow.source import Mapping, Node, Scalar, Sequence

_INNER: Final = ("github", "inputs", "strategy", "matrix", "steps", "job", "runner", "env")
_STATUS: Final = tuple(FunctionInfo(name, 0, 0) for name in STATUS_FUNCTIONS)

DEFAULT: Final = ContextScope(("github", "strategy", "matrix", "job", "runner"), (HASH_FILES,))
STEP: Final = ContextScope(_INNER, (HASH_FILES,))
STEP_IF: Final = ContextScope(_INNER, (*_STATUS, HASH_FILES))
OUTPUT: Final = ContextScope(_INNER)
CONTAINER: Final = ContextScope(("inputs",))
STAGE_IF: Final = ContextScope(
    ("runner", "github", "job", "strategy", "matrix", "env", "inputs"), (*_STATUS, HASH_FILES)
)
_WHY: Final = {
    "secrets": "an action sees no secrets: declare an input, and let the caller write `with: {token: ${{ secrets.NAME }}}`",
    "vars": "an action sees no variables: declare an input, and let the caller give it",
    "needs": "an action sees no other job: declare an input, and let the caller give it",
}


def check_template(node: Node | None, scope: ContextScope, problems: list[Problem]) -> None:
    """Append what is wrong with the expressions in all texts of `node`."""
    for scalar in _list_texts(node):
        text = to_text(scalar.value)
        if not has_expression(text):
            continue
        try:
            pieces = [piece.text for piece in split_template(text) if piece.is_expression]
        except ExpressionError as error:
            problems.append(Problem(scalar.position, error.message))
            continue
        for piece in pieces:
            _check(scalar, piece, scope, problems)


def check_condition(node: Node | None, scope: ContextScope, problems: list[Problem]) -> None:
    """The same for an `if`, which is an expression with or without `${{ }}`."""
    if not isinstance(node, Scalar):
        return
    text = to_text(node.value)
    if has_expression(text):
        check_template(node, scope, problems)
    else:
        _check(node, text, scope, problems)


def _check(node: Scalar, expression: str, scope: ContextScope, problems: list[Problem]) -> None:
    functions = {info.name: info for info in scope.functions}
    try:
        parse(expression, contexts=scope.contexts, functions=functions)
    except ExpressionError as error:
        problem = Problem(node.position, error.message, _explain(error.message, scope))
        if problem not in problems:
            problems.append(problem)


def _explain(message: str, scope: ContextScope) -> str:
    if not message.startswith("Unrecognized named-value"):
        return ""
    name = message.partition("'")[2].partition("'")[0].lower()
    return _WHY.get(name, f"available here: {', '.join(scope.contexts)}")


def _list_texts(node: Node | None) -> Iterator[Scalar]:
    waiting = [] if node is None else [node]
    while waiting:
        current = waiting.pop()
        if isinstance(current, Scalar):
            if isinstance(current.value, str):
                yield current
        elif isinstance(current, Sequence):
            waiting += reversed(current.items)
        elif isinstance(current, Mapping):
            waiting += [each for pair in reversed(current.pairs) for each in reversed(pair)]
