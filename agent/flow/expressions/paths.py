"""Templates that hold paths and literals alone: `${{ steps.add.output.sum }}`. What they lead to keeps its kind, as JSON.

A string that is one path becomes that very value; within text it becomes text, lists and objects as JSON. A path that
leads nowhere is an error: in the languages that have these templates a step without its value must not run.
"""

import json
from collections.abc import Mapping
from typing import Final

from agent.flow.expressions.budget import spend
from agent.flow.expressions.errors import ExpressionError
from agent.flow.expressions.nodes import Index, Literal, NamedValue, Node
from agent.flow.expressions.parser import parse
from agent.flow.expressions.template import has_expression, split_template
from agent.flow.expressions.values import is_array, is_primitive, look_up, to_text

_MISSING: Final = object()


def evaluate_paths(value: object, contexts: Mapping[str, object]) -> object:
    """A JSON-like `value` with every path in it followed. Raises ExpressionError for one that leads nowhere."""
    if isinstance(value, str):
        return _evaluate_string(value, contexts)
    if is_array(value):
        return [evaluate_paths(item, contexts) for item in value]
    if isinstance(value, Mapping):
        return {
            write_value(_evaluate_string(key, contexts)): evaluate_paths(item, contexts)
            for key, item in value.items()
        }
    return value


def write_value(value: object) -> str:
    """`value` as text: lists and objects as JSON, nothing as the empty text."""
    return to_text(value) if is_primitive(value) else json.dumps(value, ensure_ascii=False)


def _evaluate_string(text: str, contexts: Mapping[str, object]) -> object:
    if not has_expression(text):
        return text
    pieces = split_template(text)
    if len(pieces) == 1 and pieces[0].is_expression:
        return _follow(pieces[0].text, contexts)
    parts: list[str] = []
    for piece in pieces:
        parts.append(write_value(_follow(piece.text, contexts)) if piece.is_expression else piece.text)
        spend(characters=len(parts[-1]))
    return "".join(parts)


def _follow(text: str, contexts: Mapping[str, object]) -> object:
    root = parse(text).root
    found = _MISSING if root is None else _find(root, contexts)
    if found is _MISSING:
        raise ExpressionError("evaluation", f"`{text}` leads to nothing that is there")
    return found


def _find(node: Node, contexts: Mapping[str, object]) -> object:
    match node:
        case Literal(value):
            return value
        case NamedValue(name):
            return look_up(contexts, name, _MISSING)
        case Index(base, Literal(key)):
            return _get(_find(base, contexts), key)
        case _:
            raise ExpressionError("evaluation", "a template holds a path or a literal, and no more")


def _get(base: object, key: object) -> object:
    if isinstance(base, Mapping):
        return look_up(base, to_text(key), _MISSING)
    if is_array(base) and isinstance(key, int) and 0 <= key < len(base):
        return base[key]
    return _MISSING
