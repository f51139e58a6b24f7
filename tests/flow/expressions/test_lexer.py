"""Text into tokens, and the words for text that is none."""

from math import inf, isnan

import pytest

from agent.flow.expressions import ExpressionError
from agent.flow.expressions.lexer import TokenKind, lex


def read(text):
    return [(token.kind.name, token.text) for token in lex(text, max_length=21_000)]


def value_of(text):
    token, end = lex(text, max_length=21_000)
    assert (token.kind, end.kind) == (TokenKind.LITERAL, TokenKind.END)
    return token.value


def failure(text, max_length=21_000):
    with pytest.raises(ExpressionError) as caught:
        lex(text, max_length=max_length)
    assert caught.value.kind == "lexing"
    return caught.value


def test_nothing_but_space_is_only_an_end():
    assert read("") == read(" \t\r\n\v\f\xa0\u2003\u3000") == [("END", "")]


def test_every_symbol_is_a_token():
    punctuation = [("PUNCTUATION", symbol) for symbol in "()[],*"]
    assert read("()[],*") == [*punctuation, ("END", "")]
    operators = ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "!"]
    assert read(" ".join(operators)) == [*(("OPERATOR", operator) for operator in operators), ("END", "")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None), ("true", True), ("false", False), ("Infinity", inf), ("-Infinity", -inf),
        ("0", 0), ("42", 42), ("+7", 7), ("-7", -7), ("1.5", 1.5), (".5", 0.5), ("-.5", -0.5), ("7.", 7),
        ("1e3", 1000), ("1E-2", 0.01), ("2.5e+1", 25), ("0xfF", 255), ("0o17", 15),
        ("0x7fffffff", 2**31 - 1), ("0xffffffff", -1), ("0x00000000000000ff", 255), ("0o37777777777", -1),
        ("''", ""), ("'a b'", "a b"), ("'it''s'", "it's"), ("'''a'''", "'a'"), ("'a''''b'", "a''b"), ("'\n'", "\n"),
    ],
)  # fmt: skip
def test_a_literal_has_its_value(text, value):
    assert value_of(text) == value
    assert type(value_of(text)) is type(value)


def test_minus_zero_and_nan_are_numbers_too():
    assert str(value_of("-0")) == "-0.0"
    assert isnan(value_of("NaN"))


@pytest.mark.parametrize("text", ["True", "NULL", "nan", "infinity", "_a", "a-b", "a_1", "Foo"])
def test_a_name_is_letters_digits_dashes_and_underscores_and_keywords_are_case_sensitive(text):
    assert read(text) == [("NAME", text), ("END", "")]


def test_after_a_dot_a_keyword_is_a_property():
    assert read("a.true.NaN") == [
        ("NAME", "a"), ("PUNCTUATION", "."), ("NAME", "true"), ("PUNCTUATION", "."), ("NAME", "NaN"), ("END", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "symbol", "position"),
    [
        ("b@r", "b@r", 1), ("1 @abc 2", "@abc", 3), ("1 |2", "|2", 3), ("a & b", "&", 3), ("a = b", "=", 3), ("=", "=", 1),
        ("'foo", "'foo", 1), ("a == 'foo'' b", "'foo'' b", 6), ("-0xFF", "-0xFF", 1), ("-", "-", 1), ("0X1", "0X1", 1),
        ("1_0", "1_0", 1), ("0b1", "0b1", 1), ("0x1ffffffff", "0x1ffffffff", 1), ("0o777777777777", "0o777777777777", 1),
        ("1 && ..a/b.md", "..a/b.md", 6), ("a..b", ".b", 3), ("1.a", "1.a", 1), ("true.a", ".a", 5), ("a.b'c'", "b'c'", 3),
        ('"a"', '"a"', 1), ("\U0001f60a x", "\U0001f60a", 1), ("'\U0001f60a' @", "@", 6), ("'\n'\n@", "@", 5), ("a\ufeff", "a\ufeff", 1),
        ("${{ a", "${{", 1), ("1.2.3", "1.2.3", 1), ("+NaN", "+NaN", 1), (".", ".", 1), ("\u0661", "\u0661", 1),
    ],
)  # fmt: skip
def test_what_is_no_token_is_named_with_its_position_in_utf_16_units(text, symbol, position):
    error = failure(text)
    assert (
        error.message
        == f"Unexpected symbol: '{symbol}'. Located at position {position} within expression: {text}"
    )
    assert text[error.offset :].startswith(symbol)


def test_the_length_is_limited_in_utf_16_units():
    assert lex("a" * 10, max_length=10)
    assert failure("a" * 11, max_length=10).message == "Exceeded max expression length 10"
    assert failure("'\U0001f60a\U0001f60a\U0001f60a\U0001f60a\U0001f60a'", max_length=10).offset is None
