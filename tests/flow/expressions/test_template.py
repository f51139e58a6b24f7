"""`${{ }}` in text and in structures."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.flow.expressions import (
    ExpressionError,
    TemplatePiece,
    evaluate_template,
    evaluate_text,
    has_expression,
    split_template,
)

CONTEXTS = {"a": 1, "s": "text", "l": [1, "two"], "o": {"x": 1, "y": [True]}, "n": None, "t": True, "e": {}}
UNCLOSED = "The expression is not closed. An unescaped ${{ sequence was found, but the closing }} sequence was not found."


def failure(value):
    with pytest.raises(ExpressionError) as caught:
        evaluate_template(value, CONTEXTS)
    return caught.value


def test_a_template_is_split_into_literals_and_expressions_with_their_places():
    assert split_template("a ${{ b }}c${{d}}") == [
        TemplatePiece(False, "a ", 0, 2, 0),
        TemplatePiece(True, "b", 2, 10, 6),
        TemplatePiece(False, "c", 10, 11, 10),
        TemplatePiece(True, "d", 11, 17, 14),
    ]
    assert split_template("") == []
    assert split_template("{{ a }} $") == [TemplatePiece(False, "{{ a }} $", 0, 9, 0)]


def test_quotes_hide_what_would_close_an_expression():
    assert [piece.text for piece in split_template("${{ '}}' }}${{ 'it''s }}' }}")] == ["'}}'", "'it''s }}'"]
    assert [piece.text for piece in split_template("${{ a }}}")] == ["a", "}"]
    assert [piece.text for piece in split_template("${{ '${{' }}")] == ["'${{'"]


@pytest.mark.parametrize(
    ("text", "offset"),
    [("${{ a", 0), ("x ${{ a }", 2), ("${{ a }} ${{ 'b }}", 9), ("${{", 0), ("${{ '' ' }}", 0)],
)
def test_an_expression_that_is_not_closed_is_named_with_its_place(text, offset):
    assert has_expression(text)
    error = failure(text)
    assert (error.kind, error.message, error.offset) == ("parsing", UNCLOSED, offset)


@pytest.mark.parametrize(("text", "offset"), [("${{}}", 0), ("a ${{ \n }}", 2)])
def test_an_expression_that_holds_nothing_is_named_with_its_place(text, offset):
    error = failure(text)
    assert (error.kind, error.message, error.offset) == ("parsing", "An expression was expected", offset)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"), ("", ""), ("${{ a }}", "1"), ("x${{ a }}y${{ s }}", "x1ytext"), ("${{ n }}", ""), ("${{ t }}!", "true!"),
        ("${{ l }} ${{ o }}", "Array Object"), ("{0} ${{ a }} {{}}", "{0} 1 {{}}"), ("it's ${{ s }}", "it's text"), ("${{ '${{ a }}' }}", "${{ a }}"),
    ],
)  # fmt: skip
def test_in_text_every_value_becomes_text(text, value):
    assert evaluate_text(text, CONTEXTS) == value


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("${{ a }}", 1), ("${{ l }}", [1, "two"]), ("${{ o }}", {"x": 1, "y": [True]}), ("${{ n }}", None), (" ${{ a }}", " 1"),
        ("${{ a }}${{ a }}", "11"), (5, 5), (None, None), (True, True), ("no", "no"),
        ([1, "${{ s }}"], [1, "text"]), (["x", "${{ l }}", "y"], ["x", 1, "two", "y"]), (["${{ o }}"], [{"x": 1, "y": [True]}]),
        ([["${{ l }}"], "-${{ l }}"], [[1, "two"], "-Array"]), (("${{ a }}",), [1]),
        ({"k": "${{ a }}", "m": {"n": ["${{ t }}"]}}, {"k": 1, "m": {"n": [True]}}),
        ({"${{ s }}-${{ a }}": 1, "${{ n }}": 2, "${{ t }}": 3}, {"text-1": 1, "": 2, "true": 3}),
        ({"a": 0, "${{ insert }}": "${{ o }}", "z": 9}, {"a": 0, "x": 1, "y": [True], "z": 9}),
        ({"${{insert}}": {"b": "${{ a }}"}}, {"b": 1}), ({"${{ insert }}": "${{ e }}"}, {}),
    ],
)  # fmt: skip
def test_a_structure_keeps_types_and_splices_and_merges(template, value):
    assert evaluate_template(template, CONTEXTS) == value


def test_a_value_is_not_evaluated_twice():
    assert evaluate_template(
        ["${{ s }}", {"${{ insert }}": "${{ o }}"}], {"s": "${{ a }}", "o": {"${{ b }}": "${{ c }}"}}
    ) == [
        "${{ a }}",
        {"${{ b }}": "${{ c }}"},
    ]


def test_functions_reach_every_expression():
    functions = {"hashFiles": lambda pattern: f"hash of {pattern}"}
    assert evaluate_template({"key": "x-${{ hashFiles('*') }}"}, {}, functions) == {"key": "x-hash of *"}
    assert evaluate_text("${{ hashFiles('a') }}", {}, functions) == "hash of a"


def test_what_does_not_fit_is_an_error():
    assert failure({"${{ insert }}": "${{ l }}"}).message == "Expected a mapping"
    assert failure({"${{ insert }}": 1}).message == "Expected a mapping"
    assert failure({"${{ l }}": 1}).message == "Expected a string"
    assert failure({"X": 0, "${{ insert }}": "${{ o }}"}).message == "'x' is already defined"
    assert (
        failure({"a": "${{ nope }}"}).message
        == "Unrecognized named-value: 'nope'. Located at position 1 within expression: nope"
    )


@given(st.text(alphabet="${} 'ab\n") | st.text())
def test_the_pieces_of_any_template_are_all_of_it(text):
    with suppress(ExpressionError):
        pieces = split_template(text)
        assert "".join(text[piece.start : piece.end] for piece in pieces) == text
        assert all(text[piece.offset :].startswith(piece.text) and piece.text for piece in pieces)


@given(st.text(alphabet="${} 'a1|") | st.text())
def test_any_template_is_a_text_or_an_expression_error(text):
    with suppress(ExpressionError):
        assert isinstance(evaluate_text(text, CONTEXTS), str)
