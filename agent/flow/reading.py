"""Nodes checked against the table: what is wrong becomes problems, what is right comes back tidied.

One pass, never an early end: an unknown key is reported and left out, and reading goes on. In what comes back, a scalar
that stands where text belongs *is* text (`env: {A: 1.10}` is `1.1`), and each key stands once.

Rules and words: actions/languageservices `workflow-parser/src/templates/template-reader.ts`. Positions are those of the
scalar as a whole, also where an expression within it is wrong: there GitHub points.
"""

from functools import lru_cache
from typing import Final, NamedTuple

from agent.flow.context_scope import NOWHERE, ContextScope
from agent.flow.expressions import (
    INSERT,
    MAX_LENGTH,
    ExpressionError,
    TemplatePiece,
    has_expression,
    parse,
    split_template,
    to_condition,
    to_text,
)
from agent.flow.members import Missing, Path, Vocabulary, explain_missing, find_close, list_doubts
from agent.flow.model import Position
from agent.flow.problems import Problem, Severity
from agent.flow.shapes import ANYTHING, Fields, Key, Shape, name_alternatives
from agent.flow.source import Mapping, Node, Scalar, Sequence, key_text

_SHORT: Final = 100  # characters of an expression that is worth remembering
_MAX_PROBLEMS: Final = 1000  # of one file; who reads more?
_MAX_SUGGESTIONS: Final = 100  # the search for a similar name costs time
_NO_VOCABULARY: Final = Vocabulary({})
_NOT_ALLOWED: Final = "A template expression is not allowed in this context"
_NOT_INLINE: Final = (
    f"The directive '{INSERT}' is not allowed in this context. Directives are not supported for expressions that are "
    "embedded within a string. Directives are only supported when the entire value is an expression."
)


class Reader:
    """Reads nodes by shapes and gathers the problems of one file, and what its expressions leave in doubt."""

    def __init__(self, vocabulary: Vocabulary = _NO_VOCABULARY, *, has_expressions: bool = True) -> None:
        """Without `has_expressions`, `${{` is text as any other, and who reads the tidied nodes minds it."""
        self._vocabulary = vocabulary
        self._has_expressions = has_expressions
        self._problems: dict[tuple[Position, str], Problem] = {}
        self._verdicts: dict[tuple[str, ContextScope], _Verdict] = {}
        self._missing: set[tuple[int, Path]] = set()  # by node
        # By the id of a tidied node: the paths of its expressions that only what surrounds it can bear out.
        self.doubts: dict[int, dict[Path, None]] = {}
        self._conditions: dict[str, tuple[str, str]] = {}
        self._scopes: dict[tuple[ContextScope, ContextScope], ContextScope] = {}

    @property
    def problems(self) -> list[Problem]:
        """All problems so far, in the file's order, each once."""
        return sorted(self._problems.values(), key=lambda found: (found.position.line, found.position.column))

    @property
    def problem_count(self) -> int:
        """How many there are so far."""
        return len(self._problems)

    @property
    def has_errors(self) -> bool:
        """Whether any problem makes the file invalid."""
        return any(problem.severity is Severity.ERROR for problem in self._problems.values())

    def report(self, node: Node, message: str, hint: str = "") -> None:
        """Note an error at a node."""
        self._add(Problem(node.position, message, hint))

    def report_unknown(self, node: Node, message: str, name: str, known: list[str], hint: str = "") -> None:
        """Note an error at a node that names something that is not among `known`; the hint says what may have been meant."""
        advice = self._suggest(name, known) or hint
        self.report(node, message, advice or (f"known here: {', '.join(known)}" if known else ""))

    def warn(self, node: Node, message: str, hint: str = "") -> None:
        """Note a warning at a node."""
        self._add(Problem(node.position, message, hint, Severity.WARNING))

    def read(self, node: Node, shape: Shape, scope: ContextScope = NOWHERE) -> Node:
        """The node as `shape` wants it; what does not fit is reported."""
        if isinstance(node, Scalar):
            return self._read_scalar(node, shape, scope)
        if isinstance(node, Sequence):
            return self._read_sequence(node, shape, scope)
        assert isinstance(node, Mapping)
        return self._read_mapping(node, shape, scope)

    def check_expression(self, node: Node, text: str, scope: ContextScope) -> bool:
        """Whether `text` is an expression that may stand at `node`; if not, that is reported."""
        if len(text) <= _SHORT:
            complaint, doubts = _judge_short_expression(text, scope, self._vocabulary)
        else:
            complaint, doubts = self._judge_long_expression(text, scope)
        if complaint:
            self.report(node, complaint, _explain_context(complaint, scope))
        if doubts:
            self.doubts.setdefault(id(node), {}).update(dict.fromkeys(doubts))
        return not complaint

    def warn_missing(self, node: Node, missing: Missing) -> None:
        """Note a warning at a node for a path of its expressions that leads nowhere; once, however many aliases it has."""
        place = (id(node), missing.path)
        if place in self._missing or len(self._problems) >= _MAX_PROBLEMS:
            return
        self._missing.add(place)
        explained = explain_missing(missing, suggests=len(self._missing) <= _MAX_SUGGESTIONS)
        if explained is not None:
            self.warn(node, *explained)

    def normalize_condition(self, node: Node, text: str) -> str:
        """An `if` in normal form, or nothing where that cannot be: then it is reported."""
        if text not in self._conditions:
            try:
                self._conditions[text] = (to_condition(text), "")
            except ExpressionError as error:
                self._conditions[text] = ("", error.message)
        condition, complaint = self._conditions[text]
        if complaint:
            self.report(node, complaint)
        return condition

    def _judge_long_expression(self, text: str, scope: ContextScope) -> "_Verdict":
        """Remembered for this file alone: one long expression may stand behind thousands of aliases."""
        verdict = self._verdicts.get((text, scope))
        if verdict is None:
            verdict = self._verdicts[text, scope] = _judge_expression(text, scope, self._vocabulary)
        return verdict

    def _add(self, problem: Problem) -> None:
        if len(self._problems) < _MAX_PROBLEMS:
            self._problems.setdefault((problem.position, problem.message), problem)

    # --- scalars ---------------------------------------------------------------------------------------------------

    def _read_scalar(self, node: Scalar, shape: Shape, scope: ContextScope) -> Scalar:
        value = node.value
        if isinstance(value, str):
            if self._has_expressions and has_expression(value):
                return self._read_template(node, value, shape, scope)
            if _takes_text(shape, value):
                return node
        elif _takes_kind(shape, value):
            return node
        else:
            text = to_text(value)
            if _takes_text(shape, text):
                return Scalar(node.file, node.line, node.column, text, node.text, is_plain=False)
        self.report(node, f"Unexpected value '{to_text(value)}'", self._explain_scalar(node, shape))
        return node

    def _read_template(self, node: Scalar, text: str, shape: Shape, scope: ContextScope) -> Scalar:
        try:
            pieces = split_template(text)
        except ExpressionError as error:
            self.report(node, error.message)
            return node
        is_whole = len(pieces) == 1
        literal = read_quoted_text(pieces[0].text) if is_whole and pieces[0].is_expression else None
        if literal is not None:
            if not _takes_text(shape, literal):
                self.report(node, f"Unexpected value '{literal}'", self._explain_scalar(node, shape))
            return node
        if not scope.contexts:
            self.report(node, _NOT_ALLOWED)
            return node
        for piece in pieces:
            if piece.is_expression:
                self._check_piece(node, piece, scope, is_whole=is_whole)
        if not is_whole and len(text) > MAX_LENGTH // 2 and _measure_format(pieces) > MAX_LENGTH:
            self.report(node, f"Exceeded max expression length {MAX_LENGTH}",
                        "text around `${{ }}` counts too; hand the values over in `env`")  # fmt: skip
        return node

    def _check_piece(
        self, node: Scalar, piece: TemplatePiece, scope: ContextScope, *, is_whole: bool
    ) -> None:
        words = piece.text.split(None, 1)
        if words[0] != INSERT:
            self.check_expression(node, piece.text, scope)
        elif len(words) > 1:
            self.report(
                node,
                f"Exactly 0 parameter(s) were expected following the directive '{INSERT}'. "
                f"Actual parameter count: {len(words[1].split())}",
            )
        elif is_whole:
            self.report(node, "Unexpected value '${{ insert }}'", "`${{ insert }}` is a key, not a value")
        else:
            self.report(node, _NOT_INLINE)

    # --- lists and mappings ----------------------------------------------------------------------------------------

    def _read_sequence(self, node: Sequence, shape: Shape, scope: ContextScope) -> Sequence:
        result = Sequence(node.file, node.line, node.column)
        if shape.items is None:
            self.report(node, "A sequence was not expected", _describe_expected(shape))
            return result
        for item in node.items:
            result.items.append(self.read(item, shape.items, scope))
        return result

    def _read_mapping(self, node: Mapping, shape: Shape, scope: ContextScope) -> Mapping:
        result = Mapping(node.file, node.line, node.column)
        if not shape.mappings:
            self.report(node, "A mapping was not expected", _describe_expected(shape))
            return result
        candidates = list(shape.mappings)
        seen: set[str] = set()
        has_expression_key = False
        for key, value in node.pairs:
            name = key_text(key)
            if self._has_expressions and has_expression(name):
                has_expression_key = True
                if self._read_key_template(key, scope):
                    inner = _entries_only(candidates)
                    result.pairs.append((key, self.read(value, inner or ANYTHING, scope)))
                continue
            folded = name.upper()
            if folded in seen:
                self.report(key, f"'{name}' is already defined")
                continue
            if name:
                seen.add(folded)
            read = self._read_pair(key, name, value, candidates, scope)
            if read is not None:
                result.pairs.append((key, read))
        self._check_complete(node, candidates, seen, has_expression_key=has_expression_key)
        return result

    def _read_key_template(self, key: Scalar, scope: ContextScope) -> bool:
        if not scope.contexts:
            self.report(key, _NOT_ALLOWED)
            return False
        try:
            pieces = split_template(key_text(key))
        except ExpressionError as error:
            self.report(key, error.message)
            return False
        if len(pieces) == 1 and pieces[0].text == INSERT:
            return True
        for piece in pieces:
            if piece.is_expression:
                self._check_piece(key, piece, scope, is_whole=False)
        return True

    def _read_pair(
        self, key: Scalar, name: str, value: Node, candidates: list[Fields], scope: ContextScope
    ) -> Node | None:
        """The value as its key wants it; None where the key is not known. Narrows `candidates` to those that know it."""
        knowing = [fields for fields in candidates if name in fields.keys]
        if knowing:
            if len(knowing) < len(candidates):
                candidates[:] = knowing
            known: Key = knowing[0].keys[name]
            return self.read(value, known.shape, self._join(scope, known.scope))
        fields = candidates[0]
        if fields.entries is not None:
            if not name and not fields.may_be_blank:
                self.report(key, "Unexpected value ''", "a name is missing")
            return self.read(value, fields.entries, self._join(scope, fields.entry_scope))
        self.report(key, f"Unexpected value '{name}'", self._explain_key(name, candidates))
        return None

    def _check_complete(
        self, node: Mapping, candidates: list[Fields], seen: set[str], *, has_expression_key: bool
    ) -> None:
        if len(candidates) > 1:
            names = ", ".join(name_alternatives(candidates))
            self.report(
                node,
                f"There's not enough info to determine what you meant. Add one of these properties: {names}",
            )
        elif not has_expression_key:
            for key in candidates[0].keys.values():
                if key.required and key.name.upper() not in seen:
                    self.report(node, f"Required property is missing: {key.name}")

    def _join(self, outer: ContextScope, own: ContextScope) -> ContextScope:
        if own is NOWHERE or own is outer:
            return outer
        joined = self._scopes.get((outer, own))
        if joined is None:
            joined = outer.joined(own) if outer.contexts else own
            self._scopes[outer, own] = joined
        return joined

    # --- hints -----------------------------------------------------------------------------------------------------

    def _explain_key(self, name: str, candidates: list[Fields]) -> str:
        if name == "<<":
            return "merge keys are not supported; anchors and aliases of whole values are"
        names = [key for fields in candidates for key in fields.keys]
        return self._suggest(name, names) or f"known here: {', '.join(dict.fromkeys(names))}"

    def _explain_scalar(self, node: Scalar, shape: Shape) -> str:
        text = to_text(node.value)
        if shape.words and not (shape.text or shape.filled):
            return self._suggest(text, list(shape.words)) or f"one of {', '.join(shape.words)}"
        if shape.boolean and isinstance(node.value, str) and text:
            return "write true or false, without quotes"
        if shape.number and isinstance(node.value, str) and text:
            return "write a number, without quotes"
        return "" if text else f"a value is missing: {_describe_expected(shape)}"

    def _suggest(self, name: str, names: list[str]) -> str:
        if len(self._problems) >= _MAX_SUGGESTIONS:
            return ""
        close = find_close(name, names)
        return f"did you mean `{close}`?" if close else ""


def read_quoted_text(expression: str) -> str | None:
    """The text of an expression that is one string literal: GitHub reads that as plain text, wherever it stands."""
    if len(expression) < 2 or expression[0] != "'" or expression[-1] != "'":
        return None
    unquoted = expression[1:-1].replace("''", "")
    return None if "'" in unquoted else expression[1:-1].replace("''", "'")


def _takes_text(shape: Shape, text: str) -> bool:
    return shape.text or (shape.filled and bool(text)) or text in shape.words


def _takes_kind(shape: Shape, value: object) -> bool:
    if value is None:
        return shape.null
    return shape.boolean if isinstance(value, bool) else shape.number


class _Verdict(NamedTuple):
    """What is wrong with an expression, or nothing; and the paths that its surroundings must bear out."""

    complaint: str
    doubts: tuple[Path, ...]


def _judge_expression(text: str, scope: ContextScope, vocabulary: Vocabulary) -> _Verdict:
    try:
        expression = parse(
            text, contexts=scope.contexts, functions={info.name: info for info in scope.functions}
        )
    except ExpressionError as error:
        return _Verdict(error.message, ())
    return _Verdict("", list_doubts(expression, vocabulary))


@lru_cache(maxsize=2048)
def _judge_short_expression(text: str, scope: ContextScope, vocabulary: Vocabulary) -> _Verdict:
    """The same, remembered: `matrix.os` and its like stand in flow after flow."""
    return _judge_expression(text, scope, vocabulary)


def _explain_context(complaint: str, scope: ContextScope) -> str:
    if complaint.startswith("Unrecognized named-value"):
        return f"available here: {', '.join(scope.contexts)}"
    return ""


def _measure_format(pieces: list[TemplatePiece]) -> int:
    """The length of the format() call that a text with expressions in it is to GitHub."""
    length = len("format('')")
    for index, piece in enumerate(piece for piece in pieces if piece.is_expression):
        length += len(f"{{{index}}}, ") + len(piece.text)
    for piece in pieces:
        if not piece.is_expression:
            length += len(piece.text) + sum(piece.text.count(escaped) for escaped in "'{}")
    return length


def _entries_only(candidates: list[Fields]) -> Shape | None:
    """The shape of free entries, where a mapping has nothing but those."""
    fields = candidates[0]
    return fields.entries if len(candidates) == 1 and not fields.keys else None


def _describe_expected(shape: Shape) -> str:
    """In a few words, what a shape takes."""
    kinds = [
        ("text", shape.text or shape.filled),
        ("one of " + ", ".join(shape.words[:8]), bool(shape.words)),
        ("true or false", shape.boolean),
        ("a number", shape.number),
        ("a list", shape.items is not None),
        ("a mapping", bool(shape.mappings)),
        ("nothing", shape.null),
    ]
    return "expected " + " or ".join(kind for kind, takes in kinds if takes)
