"""Conditions: what an `if:` means.

Source: actions/runner `PipelineTemplateConverter.ConvertToIfCondition`, `TemplateReader.ParseScalar`.
"""

from typing import Final

from agent.flow.expressions.functions import MAX_ARGUMENTS, FunctionInfo
from agent.flow.expressions.nodes import Literal, called_functions
from agent.flow.expressions.parser import parse
from agent.flow.expressions.template import TemplatePiece, has_expression, split_template
from agent.flow.expressions.values import WHITESPACE

# A job's success() and failure() accept job names; a step's take nothing.
STATUS_FUNCTIONS: Final = {
    "success": FunctionInfo("success", 0, MAX_ARGUMENTS),
    "failure": FunctionInfo("failure", 0, MAX_ARGUMENTS),
    "always": FunctionInfo("always", 0, 0),
    "cancelled": FunctionInfo("cancelled", 0, 0),
}
HASH_FILES: Final = FunctionInfo("hashFiles", 1, MAX_ARGUMENTS)

_FUNCTIONS = {**STATUS_FUNCTIONS, "hashfiles": HASH_FILES}


def to_condition(text: str) -> str:
    """The expression that an `if:` with this value stands for.

    It may be written bare or as one `${{ }}`; where text surrounds a `${{ }}` it is a string, which is always true.
    An expression that calls none of the status functions gets `success() &&` before it; an empty one is `success()`.
    Which contexts may stand here is not judged. Raises ExpressionError.
    """
    condition = _read_condition(text)
    expression = parse(condition, functions=_FUNCTIONS)
    if expression.root is None:
        return "success()"
    if called_functions(expression).isdisjoint(STATUS_FUNCTIONS):
        return f"success() && ({condition})"
    return condition


def _read_condition(text: str) -> str:
    if not has_expression(text):
        return text.strip(WHITESPACE)
    pieces = split_template(text)
    if len(pieces) > 1 or not pieces[0].is_expression:
        return _write_format(pieces)
    condition = pieces[0].text
    root = parse(condition, functions=_FUNCTIONS).root
    # GitHub reads `${{ 'x' }}` as an escaped literal x before it knows that it is an `if:`.
    return root.value if isinstance(root, Literal) and isinstance(root.value, str) else condition


def _write_format(pieces: list[TemplatePiece]) -> str:
    """A call of format() that builds the string which a mixed template is."""
    texts: list[str] = []
    arguments: list[str] = []
    for piece in pieces:
        if piece.is_expression:
            texts.append(f"{{{len(arguments)}}}")
            arguments.append(piece.text)
        else:
            texts.append(piece.text.replace("'", "''").replace("{", "{{").replace("}", "}}"))
    quoted = ", ".join(["'" + "".join(texts) + "'", *arguments])
    return f"format({quoted})"
