"""Text with `${{ }}` in it, and whole structures of such text.

Source: actions/runner `ObjectTemplating/{TemplateReader,TemplateUnraveler,TemplateEvaluator}.cs`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from agent.flow.expressions.budget import spend
from agent.flow.expressions.errors import ExpressionError
from agent.flow.expressions.evaluate import evaluate
from agent.flow.expressions.values import WHITESPACE, fold_case, is_array, is_primitive, to_text

OPEN: Final = "${{"
CLOSE: Final = "}}"
# `${{ insert }}` as a key: the mapping that is its value is merged into the one it stands in.
INSERT: Final = "insert"

Functions = Mapping[str, Callable[..., object]]

_QUOTE_OR_CLOSE = re.compile(r"'|\}\}")


class TemplatePiece(NamedTuple):
    """A stretch of a template.

    `start` and `end` say which characters of the template it is, `${{` and `}}` included. `text` is the literal text,
    or the expression without its surrounding space, and begins at `offset` of the template.
    """

    is_expression: bool
    text: str
    start: int
    end: int
    offset: int


def has_expression(text: str) -> bool:
    """Whether there is a `${{` in `text`."""
    return OPEN in text


def split_template(text: str) -> list[TemplatePiece]:
    """The literal and expression pieces of `text`, in order; none is empty.

    Raises ExpressionError (parsing, with its offset) for a `${{` that is not closed or holds nothing.
    """
    pieces: list[TemplatePiece] = []
    position = 0
    while position < len(text):
        start = text.find(OPEN, position)
        if start < 0:
            start = len(text)
        if start > position:
            pieces.append(TemplatePiece(False, text[position:start], position, start, position))
        if start < len(text):
            pieces.append(_read_expression(text, start))
        position = pieces[-1].end
    return pieces


def evaluate_text(text: str, contexts: Mapping[str, object], functions: Functions | None = None) -> str:
    """`text` with every `${{ }}` replaced by its value as text. Raises ExpressionError."""
    if not has_expression(text):
        return text
    parts: list[str] = []
    for piece in split_template(text):
        parts.append(
            to_text(evaluate(piece.text, contexts, functions)) if piece.is_expression else piece.text
        )
        spend(characters=len(parts[-1]))  # before the next one is held as well
    return "".join(parts)


def evaluate_template(
    value: object, contexts: Mapping[str, object], functions: Functions | None = None
) -> object:
    """A JSON-like `value` with every template in it evaluated.

    A string that is one expression becomes that value of whatever kind; within a list, an array takes its place item
    by item. Keys become text; the key `${{ insert }}` merges the mapping that it holds. Raises ExpressionError.
    """
    if isinstance(value, str):
        return _evaluate_string(value, contexts, functions)
    if is_array(value):
        return list(_evaluate_items(value, contexts, functions))
    if isinstance(value, Mapping):
        result: dict[str, object] = {}
        seen: set[str] = set()
        for key, item in _evaluate_pairs(value, contexts, functions):
            if fold_case(key) in seen:
                raise ExpressionError("evaluation", f"'{key}' is already defined")
            seen.add(fold_case(key))
            result[key] = item
        return result
    return value


def _read_expression(text: str, start: int) -> TemplatePiece:
    inner_start = start + len(OPEN)
    inner_end = _find_close(text, inner_start)
    if inner_end is None:
        complaint = "An unescaped ${{ sequence was found, but the closing }} sequence was not found."
        raise ExpressionError("parsing", f"The expression is not closed. {complaint}", offset=start)
    inner = text[inner_start:inner_end]
    expression = inner.strip(WHITESPACE)
    if not expression:
        raise ExpressionError("parsing", "An expression was expected", offset=start)
    offset = inner_start + len(inner) - len(inner.lstrip(WHITESPACE))
    return TemplatePiece(True, expression, start, inner_end + len(CLOSE), offset)


def _find_close(text: str, position: int) -> int | None:
    """Where the `}}` is that no quotes surround. A doubled quote leaves and re-enters a string, which is just right."""
    in_string = False
    for match in _QUOTE_OR_CLOSE.finditer(text, position):
        if match[0] == "'":
            in_string = not in_string
        elif not in_string:
            return match.start()
    return None


def _evaluate_string(text: str, contexts: Mapping[str, object], functions: Functions | None) -> object:
    if not has_expression(text):
        return text
    pieces = split_template(text)
    if len(pieces) == 1 and pieces[0].is_expression:
        return evaluate(pieces[0].text, contexts, functions)
    return evaluate_text(text, contexts, functions)


def _evaluate_items(
    items: Sequence[object], contexts: Mapping[str, object], functions: Functions | None
) -> Iterator[object]:
    for item in items:
        result = evaluate_template(item, contexts, functions)
        if isinstance(item, str) and is_array(result):
            spend(steps=len(result))
            yield from result
        else:
            yield result


def _evaluate_pairs(
    mapping: Mapping[str, object], contexts: Mapping[str, object], functions: Functions | None
) -> Iterator[tuple[str, object]]:
    for key, item in mapping.items():
        if not has_expression(key):
            yield key, evaluate_template(item, contexts, functions)
        elif _is_insert(key):
            inserted = evaluate_template(item, contexts, functions)
            if not isinstance(inserted, Mapping):
                raise ExpressionError("evaluation", "Expected a mapping")
            spend(steps=len(inserted))
            yield from inserted.items()
        else:
            name = _evaluate_string(key, contexts, functions)
            if not is_primitive(name):
                raise ExpressionError("evaluation", "Expected a string")
            yield to_text(name), evaluate_template(item, contexts, functions)


def _is_insert(key: str) -> bool:
    pieces = split_template(key)
    return len(pieces) == 1 and pieces[0].is_expression and pieces[0].text == INSERT
