"""Text into tokens.

Where the two official lexers differ we read as the runner does (every `''` in a string is one quote, all of Unicode's
white space separates, positions count through line breaks) and speak as languageservices does (the whole text is read
before anything is parsed, so a character that belongs to no token is reported first). Linear in the text's length.

Source: languageservices `expressions/src/lexer.ts`, runner `Expressions2/Tokens/LexicalAnalyzer.cs`.
"""

import re
from enum import Enum, auto
from math import inf, isnan, nan
from typing import NamedTuple

from agent.flow.expressions.errors import ExpressionError, count_utf16, locate
from agent.flow.expressions.values import WHITESPACE, parse_number, simplify_number


class TokenKind(Enum):
    """What a token is to the parser."""

    PUNCTUATION = auto()  # ( ) [ ] , . *
    OPERATOR = auto()  # ! != == < <= > >= && ||
    LITERAL = auto()
    NAME = auto()
    END = auto()


class Token(NamedTuple):
    """A token: `text` as error messages print it, the `value` of a literal, its `offset` in the expression."""

    kind: TokenKind
    text: str
    value: object
    offset: int


_SPACES = re.compile(f"[{WHITESPACE}]*+")
_OPERATOR = re.compile(r"[!=<>]=|&&|\|\||[!<>]")
_WORD = re.compile(rf"[^()\[\],.!<>=&|{WHITESPACE}]*+")
_NUMBER = re.compile(rf"[^()\[\],!<>=&|{WHITESPACE}]*+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*+")
_STRING = re.compile(r"'[^']*+(?:''[^']*+)*+'")
_KEYWORDS: dict[str, object] = {"null": None, "true": True, "false": False, "NaN": nan, "Infinity": inf}


def lex(text: str, *, max_length: int) -> list[Token]:
    """The tokens of `text`, ended by one of kind END. Raises ExpressionError of kind lexing."""
    if len(text) > max_length or count_utf16(text) > max_length:
        raise ExpressionError("lexing", f"Exceeded max expression length {max_length}")
    tokens: list[Token] = []
    position = _skip_spaces(text, 0)
    while position < len(text):
        token, position = _read_token(text, position, tokens[-1] if tokens else None)
        tokens.append(token)
        position = _skip_spaces(text, position)
    tokens.append(Token(TokenKind.END, "", None, position))
    return tokens


def _skip_spaces(text: str, position: int) -> int:
    match = _SPACES.match(text, position)
    return match.end() if match else position


def _read_token(text: str, start: int, last: Token | None) -> tuple[Token, int]:
    first = text[start]
    if first in "()[],*" or (first == "." and _can_be_dereferenced(last)):
        return Token(TokenKind.PUNCTUATION, first, None, start), start + 1
    if first == "'":
        return _read_string(text, start)
    if first in "!=<>&|":
        return _read_operator(text, start)
    if first in ".+-0123456789":
        return _read_number(text, start)
    return _read_word(text, start, last)


def _can_be_dereferenced(last: Token | None) -> bool:
    """Whether a `.` after this token leads to a property; otherwise it begins a number."""
    return last is not None and (
        last.kind is TokenKind.NAME or (last.kind is TokenKind.PUNCTUATION and last.text in ")]*")
    )


def _read_string(text: str, start: int) -> tuple[Token, int]:
    match = _STRING.match(text, start)
    if match is None:
        raise _unexpected(text, start, len(text))
    value = match[0][1:-1].replace("''", "'")
    return Token(TokenKind.LITERAL, value, value, start), match.end()


def _read_operator(text: str, start: int) -> tuple[Token, int]:
    match = _OPERATOR.match(text, start)
    if match is None:
        raise _unexpected(text, start, _find_end(_WORD, text, start))
    return Token(TokenKind.OPERATOR, match[0], None, start), match.end()


def _read_number(text: str, start: int) -> tuple[Token, int]:
    end = _find_end(_NUMBER, text, start)
    number = parse_number(text[start:end])
    if isnan(number):
        raise _unexpected(text, start, end)
    return Token(TokenKind.LITERAL, text[start:end], simplify_number(number), start), end


def _read_word(text: str, start: int, last: Token | None) -> tuple[Token, int]:
    end = _find_end(_WORD, text, start)
    word = text[start:end]
    if not _NAME.fullmatch(word):
        raise _unexpected(text, start, end)
    is_property = last is not None and last.kind is TokenKind.PUNCTUATION and last.text == "."
    if word in _KEYWORDS and not is_property:
        return Token(TokenKind.LITERAL, word, _KEYWORDS[word], start), end
    return Token(TokenKind.NAME, word, None, start), end


def _find_end(pattern: re.Pattern[str], text: str, start: int) -> int:
    """Where the symbol that begins at `start` ends; its first character belongs to it whatever it is."""
    match = pattern.match(text, start + 1)
    return match.end() if match else start + 1


def _unexpected(text: str, start: int, end: int) -> ExpressionError:
    return ExpressionError("lexing", locate("Unexpected symbol", text[start:end], start, text), offset=start)
