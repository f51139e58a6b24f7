"""Expressions of other languages in GitHub's words, and what is lost on the way."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from agent.flow.dialects.github.table.contexts import JOB_IF, STEP
from agent.flow.expressions import (
    INSERT,
    ExpressionError,
    TemplatePiece,
    evaluate,
    has_expression,
    parse,
    split_template,
    to_text,
)
from agent.flow.model import Position, Template
from agent.flow.problems import Problem, Severity

_FUNCTIONS = {info.name: info for info in (*STEP.functions, *JOB_IF.functions)}
_CONTEXTS = (*STEP.contexts, "jobs")
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Writer:
    """What all parts of one flow share while they are written.

    `instead` has expressions of the flow's language, as patterns, and what says the same at GitHub.
    """

    def __init__(self, instead: Mapping[str, str] = _NOTHING) -> None:
        self.losses: list[Problem] = []
        self._instead = [(re.compile(pattern), text) for pattern, text in instead.items()]

    def lose(self, position: Position, message: str, hint: str = "") -> None:
        """Note something that GitHub's language has no equal for."""
        self._add(Problem(position, message, hint))

    def differ(self, position: Position, message: str, hint: str = "") -> None:
        """Note something that is a little different there."""
        self._add(Problem(position, message, hint, Severity.WARNING))

    def write(self, template: Template, position: Position) -> Template:
        """A template in GitHub's words. What cannot be said there is noted at the position."""
        match template:
            case str():
                return self._write_text(template, position)
            case Mapping():
                return {
                    str(self.write(key, position)): self.write(value, position)
                    for key, value in template.items()
                }
            case list() | tuple():
                return [self.write(item, position) for item in template]
            case _:
                return template

    def write_expression(self, text: str, position: Position) -> str:
        """A bare expression in GitHub's words."""
        if text.strip() == INSERT:
            return text
        for pattern, instead in self._instead:
            text = instead.join(pattern.split(text))
        try:
            parse(text, contexts=_CONTEXTS, functions=_FUNCTIONS)
        except ExpressionError as error:
            self.lose(position, f"`{text.strip()}` means nothing to GitHub: {error.message}")
        return text

    def settle(self, template: Template) -> str | None:
        """The text that a template is, whatever the contexts; None where they count."""
        if not isinstance(template, str):
            return to_text(template)
        parts = [self._settle_piece(piece) for piece in split_template(template)]
        return None if any(part is None for part in parts) else "".join(part or "" for part in parts)

    def _settle_piece(self, piece: TemplatePiece) -> str | None:
        if not piece.is_expression:
            return piece.text
        try:
            return to_text(evaluate(piece.text, {}))
        except ExpressionError:
            return None

    def _write_text(self, text: str, position: Position) -> str:
        if not has_expression(text):
            return text
        return "".join(
            f"${{{{ {self.write_expression(piece.text, position).strip()} }}}}"
            if piece.is_expression
            else piece.text
            for piece in split_template(text)
        )

    def _add(self, problem: Problem) -> None:
        if problem not in self.losses:
            self.losses.append(problem)
