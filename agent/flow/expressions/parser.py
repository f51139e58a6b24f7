"""Tokens into a syntax tree.

Operator precedence with two explicit stacks, so that no input can exhaust Python's; linear in the number of tokens.
Depth is counted in nodes, as the runner does: parentheses cost none, a chain of `&&` or `||` is one node, and every
`.name`, `[index]`, `!`, comparison and call is one.

Source: runner `Expressions2/ExpressionParser.cs`; words and their positions: languageservices `expressions/src/parser.ts`.
"""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from agent.flow.expressions.errors import ExpressionError, locate
from agent.flow.expressions.functions import CASE, FunctionInfo, find_function
from agent.flow.expressions.lexer import Token, TokenKind, lex
from agent.flow.expressions.nodes import (
    Comparison,
    Expression,
    FunctionCall,
    Index,
    Literal,
    Logical,
    NamedValue,
    Node,
    Not,
)

MAX_DEPTH: Final = 50
MAX_LENGTH: Final = 21_000


def parse(
    text: str,
    *,
    contexts: Collection[str] | None = None,
    functions: Mapping[str, FunctionInfo] | None = None,
    max_depth: int = MAX_DEPTH,
    max_length: int = MAX_LENGTH,
) -> Expression:
    """Parse `text`.

    `contexts` are the named values that may stand here (None: any), `functions` those that are known in addition to
    the built-in ones. Names are case-insensitive. `max_length` counts UTF-16 units. Raises ExpressionError.
    """
    names = None if contexts is None else {name.lower() for name in contexts}
    extra = {name.lower(): info for name, info in (functions or {}).items()}
    return Expression(text, _Parser(text, lex(text, max_length=max_length), names, extra, max_depth).parse())


_PRECEDENCE = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, "<=": 4, ">": 4, ">=": 4, "!": 5}
_CLOSERS = {")": "(", "]": "["}


class _Pending(NamedTuple):
    """An operator, or an opened `(` or `[`, that waits for its operands; of a call, the function it calls."""

    symbol: str
    token: Token
    operands_before: int
    function: FunctionInfo | None = None


def _is_symbol(token: Token, symbol: str) -> bool:
    return token.kind is TokenKind.PUNCTUATION and token.text == symbol


class _Parser:
    def __init__(
        self,
        text: str,
        tokens: list[Token],
        contexts: set[str] | None,
        functions: Mapping[str, FunctionInfo],
        max_depth: int,
    ) -> None:
        self._text = text
        self._tokens = tokens
        self._contexts = contexts
        self._functions = functions
        self._max_depth = max_depth
        self._position = 0
        self._operands: list[tuple[Node, int]] = []  # with the depth of each
        self._pending: list[_Pending] = []

    def parse(self) -> Node | None:
        if self._peek().kind is TokenKind.END:
            return None
        while True:
            can_be_indexed = self._read_operand()
            if not self._read_after_operand(can_be_indexed=can_be_indexed):
                return self._operands[0][0]

    def _read_operand(self) -> bool:
        """Read up to and with the next value, pushing what stands before it; whether it may be indexed."""
        while True:
            token = self._next()
            if token.kind is TokenKind.LITERAL:
                self._push(Literal(token.value), 1)
                return False
            if token.kind is TokenKind.NAME and _is_symbol(self._peek(), "("):
                if self._open_call(token):
                    return True
            elif token.kind is TokenKind.NAME:
                self._read_named_value(token)
                return True
            elif token.kind in {TokenKind.OPERATOR, TokenKind.PUNCTUATION} and token.text in {"!", "("}:
                self._pending.append(_Pending(token.text, token, len(self._operands)))
            else:
                raise self._unexpected(token)

    def _read_after_operand(self, *, can_be_indexed: bool) -> bool:
        """Read what follows a value up to the operator that wants the next one; False at the end of the text."""
        while True:
            token = self._next()
            if token.kind is TokenKind.OPERATOR and token.text != "!":
                self._push_operator(token)
                return True
            if token.kind is TokenKind.END:
                self._finish(token)
                return False
            if token.kind is not TokenKind.PUNCTUATION:
                raise self._unexpected(token)
            if token.text in _CLOSERS:
                self._close(token)
                can_be_indexed = True
            elif token.text == ",":
                self._separate(token)
                return True
            elif token.text == "." and can_be_indexed:
                self._read_property()
            elif token.text == "[" and can_be_indexed:
                if self._open_index(token):
                    return True
            else:
                raise self._unexpected(token)

    def _read_named_value(self, token: Token) -> None:
        if self._contexts is not None and token.text.lower() not in self._contexts:
            raise self._error("Unrecognized named-value", token)
        self._push(NamedValue(token.text, token.offset), 1)

    def _read_property(self) -> None:
        token = self._next()
        base, depth = self._operands.pop()
        if token.kind is TokenKind.NAME:
            self._push(Index(base, Literal(token.text)), depth + 1)
        elif _is_symbol(token, "*"):
            self._push(Index(base, None), depth + 1)
        else:
            raise self._unexpected(token)

    def _open_index(self, token: Token) -> bool:
        """Open `[`; False where the filter `[*]` was read to its end."""
        if not _is_symbol(self._peek(), "*"):
            self._pending.append(_Pending("[", token, len(self._operands)))
            return True
        self._next()
        closer = self._next()
        if not _is_symbol(closer, "]"):
            raise self._unexpected(closer)
        base, depth = self._operands.pop()
        self._push(Index(base, None), depth + 1)
        return False

    def _open_call(self, token: Token) -> bool:
        """Open a call; True where it has no arguments and is complete."""
        function = find_function(token.text.lower(), self._functions)
        if function is None:
            raise self._error("Unrecognized function", token)
        self._next()
        self._pending.append(_Pending("(", token, len(self._operands), function))
        if not _is_symbol(self._peek(), ")"):
            return False
        self._next()
        self._finish_call(self._pending.pop(), function)
        return True

    def _push_operator(self, token: Token) -> None:
        precedence = _PRECEDENCE[token.text]
        is_logical = token.text in {"&&", "||"}  # kept until the whole chain is there
        self._reduce(precedence + 1 if is_logical else precedence)
        self._pending.append(_Pending(token.text, token, len(self._operands)))

    def _separate(self, token: Token) -> None:
        self._reduce(0)
        if not self._pending or self._pending[-1].function is None:
            raise self._unexpected(token)

    def _close(self, token: Token) -> None:
        self._reduce(0)
        if not self._pending or self._pending[-1].symbol != _CLOSERS[token.text]:
            raise self._unexpected(token)
        opened = self._pending.pop()
        if opened.function is not None:
            self._finish_call(opened, opened.function)
        elif opened.symbol == "[":
            key, key_depth = self._operands.pop()
            base, base_depth = self._operands.pop()
            self._push(Index(base, key), max(key_depth, base_depth) + 1)

    def _finish_call(self, opened: _Pending, function: FunctionInfo) -> None:
        arguments = self._operands[opened.operands_before :]
        del self._operands[opened.operands_before :]
        if len(arguments) < function.min_args:
            raise self._error("Too few parameters supplied", opened.token)
        if len(arguments) > function.max_args:
            raise self._error("Too many parameters supplied", opened.token)
        if function is CASE and len(arguments) % 2 == 0:
            complaint = "Even number of parameters supplied, requires an odd number of parameters"
            raise self._error(complaint, opened.token)
        call = FunctionCall(opened.token.text, tuple(node for node, _ in arguments), opened.token.offset)
        self._push(call, max((depth for _, depth in arguments), default=0) + 1)

    def _finish(self, end: Token) -> None:
        self._reduce(0)
        if self._pending:
            raise self._unexpected(end)

    def _reduce(self, precedence: int) -> None:
        """Build the operators on top of the stack that bind at least as tightly, back to the last opened bracket."""
        while self._pending and _PRECEDENCE.get(self._pending[-1].symbol, -1) >= precedence:
            symbol = self._pending.pop().symbol
            right, depth = self._operands.pop()
            if symbol == "!":
                self._push(Not(right), depth + 1)
            elif symbol in {"&&", "||"}:
                self._reduce_chain(symbol, right, depth)
            else:
                left, left_depth = self._operands.pop()
                self._push(Comparison(symbol, left, right), max(left_depth, depth) + 1)

    def _reduce_chain(self, symbol: str, last: Node, depth: int) -> None:
        count = 1
        while self._pending and self._pending[-1].symbol == symbol:
            self._pending.pop()
            count += 1
        operands = self._operands[-count:]
        del self._operands[-count:]
        deepest = max(depth, *(operand_depth for _, operand_depth in operands))
        self._push(Logical(symbol, (*(node for node, _ in operands), last)), deepest + 1)

    def _push(self, node: Node, depth: int) -> None:
        if depth > self._max_depth:
            raise ExpressionError("parsing", f"Exceeded max expression depth {self._max_depth}")
        self._operands.append((node, depth))

    def _peek(self) -> Token:
        return self._tokens[self._position]

    def _next(self) -> Token:
        token = self._tokens[self._position]
        self._position += 1
        return token

    def _unexpected(self, token: Token) -> ExpressionError:
        if token.kind is not TokenKind.END:
            return self._error("Unexpected symbol", token)
        last = self._tokens[-2]
        return self._error("Unexpected end of expression", last)

    def _error(self, description: str, token: Token) -> ExpressionError:
        message = locate(description, token.text, token.offset, self._text)
        return ExpressionError("parsing", message, offset=token.offset)
