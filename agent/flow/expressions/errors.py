"""Errors of expressions, in GitHub's own words.

Source of the words: actions/languageservices `expressions/src` and actions/runner `src/Sdk/DTExpressions2`.
"""

from typing import Literal

from agent.errors import AgentError

ErrorKind = Literal["lexing", "parsing", "evaluation"]


class ExpressionError(AgentError):
    """An expression, or the template around it, that cannot be read or evaluated.

    `kind` is the stage that failed, `message` GitHub's sentence. `offset` is where in the text the trouble starts, in
    Python characters from 0, for those who point at a column; None where no single place is to blame.
    """

    def __init__(self, kind: ErrorKind, message: str, *, offset: int | None = None, where: str = "") -> None:
        super().__init__(message, where=where)
        self.kind = kind
        self.message = message
        self.offset = offset


class ResultTooLargeError(Exception):
    """A value grew over the memory that its evaluation was given. `evaluate` turns it into an ExpressionError."""


def locate(description: str, symbol: str, offset: int, text: str) -> str:
    """GitHub's sentence for a symbol that is wrong at `offset` of the expression `text`.

    Positions count UTF-16 units from 1, line breaks included, as the runner does.
    """
    position = count_utf16(text[:offset]) + 1
    return f"{description}: '{symbol}'. Located at position {position} within expression: {text}"


def count_utf16(text: str) -> int:
    """The length of `text` in UTF-16 units: in those GitHub measures and points."""
    if text.isascii():
        return len(text)
    return len(text) + sum(character > "\uffff" for character in text)
