"""YAML errors, in words and with a hint where we know what people meant."""

import re
from typing import Any, Final

from agent.flow.model import Position
from agent.flow.problems import InvalidFlowError, Problem

_HINTS: Final = (
    ("mapping values are not allowed", "a value with `: ` in it needs quotes, or a line is indented too far"),
    ("cannot start any token", "indent with spaces; quote a value that begins with `@`, a backtick or `%`"),
    ("tab character", "indent with spaces, not tabs"),
    ("could not find expected ':'", "is a `:` missing, or a line of a block not indented?"),
    ("did not find expected key", "check the indentation, and quotes inside a quoted value"),
    ("did not find expected '-' indicator", "the items of a list must begin in the same column"),
    ("did not find expected ',' or", "a `[` or `{` is not closed, or a value in it needs quotes"),
    ("unexpected end of stream", "a quote is not closed"),
    ("unknown escape character", "write the backslash twice, or use single quotes"),
    ("document start", "a flow file holds one document"),
)
_TAGGED: Final = r":\s+!\S"


def explain_error(error: Any, text: str, file: str) -> Problem:
    """A YAML error as a problem with a place, and a hint where we know what people meant."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:  # a reader error knows only how many characters came before
        return _explain_character(error, text, file)
    what = str(error.problem or error.context).strip()
    context = str(error.context or "").strip()
    message = f"{what}, {context}" if context and context != what else what
    line_text = text.split("\n", mark.line + 1)[mark.line] if mark.line <= text.count("\n") else ""
    hint = next((hint for part, hint in _HINTS if part in what), "")
    if re.search(_TAGGED, line_text):
        hint = "`!` begins a YAML tag: write the condition as `${{ !... }}`"
    return Problem(Position(file, mark.line + 1, mark.column + 1), f"Not valid YAML: {message}", hint)


def _explain_character(error: Any, text: str, file: str) -> Problem:
    index = next((at for at, char in enumerate(text) if not _is_printable(char)), 0)
    line = text.count("\n", 0, index) + 1
    column = index - text.rfind("\n", 0, index)
    code = ord(text[index]) if text else 0
    reason = getattr(error, "reason", None) or "special characters are not allowed"
    return Problem(
        Position(file, line, column), f"Not valid YAML: {reason}", f"remove the character U+{code:04X}"
    )


def _is_printable(char: str) -> bool:
    code = ord(char)
    return (
        char in "\t\n\r\x85"
        or 0x20 <= code <= 0x7E
        or 0xA0 <= code <= 0xD7FF
        or (0xE000 <= code <= 0xFFFD and code != 0xFEFF)
        or code >= 0x10000
    )


def refuse(file: str, line: int, column: int, message: str, hint: str = "") -> InvalidFlowError:
    """One problem that ends the reading."""
    return InvalidFlowError(file, [Problem(Position(file, line, column), message, hint)])
