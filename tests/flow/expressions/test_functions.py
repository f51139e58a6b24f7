"""The built-in functions."""

from math import inf

import pytest

from agent.flow.expressions import BUILTINS, ExpressionError, evaluate

CONTEXTS = {
    "arr": ["Hello", 1, None, [2], {"a": 1}],
    "obj": {"a": 1},
    "text": "Hello",
    "none": [],
    "quote": '"',
    "long": "x" * 1000,
}


def failure(text):
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, CONTEXTS)
    assert caught.value.kind == "evaluation"
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("contains('Hello', 'ELL')", True), ("contains('Hello', '')", True), ("contains('1234', 23)", True), ("contains(true, 'RU')", True),
        ("contains(null, '')", True), ("contains('a', 'b')", False), ("contains('É', 'é')", True), ("contains('\u0131', 'I')", False),
        ("contains(arr, 'hello')", True), ("contains(arr, '1')", True), ("contains(arr, 'ell')", False), ("contains(arr, arr[3])", True),
        ("contains(arr, '')", True), ("contains(none, null)", False), ("contains(obj, 'a')", False), ("contains('Object', obj)", False),
        ("contains(arr.*, 1)", True),
        ("startsWith('Hello', 'hE')", True), ("startsWith('Hello', 'l')", False), ("startsWith(1234, 12)", True), ("startsWith('x', null)", True),
        ("startsWith(arr, 'Arr')", False), ("startsWith('Array', arr)", False), ("startsWith(obj, '')", False),
        ("endsWith('Hello', 'LO')", True), ("endsWith('Hello', 'H')", False), ("endsWith(1234, 34)", True), ("endsWith('_ς', 'Σ')", True),
        ("endsWith('x', obj)", False), ("endsWith(none, '')", False),
        ("join(arr)", "Hello,1,,Array,Object"), ("join(arr, '')", "Hello1ArrayObject"), ("join(arr, null)", "Hello1ArrayObject"),
        ("join(arr, 0.5)", "Hello0.510.50.5Array0.5Object"), ("join(arr, obj)", "Hello,1,,Array,Object"), ("join(none)", ""), ("join('a', '-')", "a"),
        ("join(1.50)", "1.5"), ("join(null)", ""), ("join(obj)", ""), ("join(obj.*, '-')", "1"),
        ("toJSON(null)", "null"), ("toJSON('a\"')", '"a\\""'), ("toJSON(obj)", '{\n  "a": 1\n}'), ("toJSON(1e21)", "1E+21"), ("toJSON(arr[3])", "[\n  2\n]"),
        ("fromJSON('null')", None), ("fromJSON(' true ')", True), ("fromJSON('\"a\"')", "a"), ("fromJSON('1.0')", 1), ("fromJSON('-1.5e1')", -15),
        ("fromJSON('[1, [null]]')", [1, [None]]), ("fromJSON('{\"a\": {\"b\": 1}}').A.B", 1), ("fromJSON('{\"a\": 1, \"A\": 2}')", {"a": 1}),
        ("fromJSON('{\"a\": 1, \"a\": 2}').a", 2), ("fromJSON('1e999')", inf), ("fromJSON(toJSON(arr))[3][0]", 2), ("fromJSON(1)", 1), ("fromJSON(true)", True),
        ("case(true, 1, 2)", 1), ("case(false, 1, 2)", 2), ("case(false, 1, 1 == 1, 2, 3)", 2), ("case(true, 1, fromJSON(''))", 1),
        ("case(false, fromJSON(''), true, 'x', fromJSON(''))", "x"), ("CASE(!text, 1, arr)[0]", "Hello"),
    ],
)  # fmt: skip
def test_a_function_returns_what_githubs_does(text, value):
    result = evaluate(text, CONTEXTS)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("format('{0}-{1}-{0}', 'a', 2)", "a-2-a"), ("format('{{0}} {{{0}}}', 1)", "{0} {1}"), ("format('}}{{')", "}{"), ("format('{00}', 'a')", "a"),
        ("format('{0:}', 'a')", "a"), ("format(null)", ""), ("format(1.50)", "1.5"), ("format('{0}{1}{2}{3}', null, true, arr, obj)", "trueArrayObject"),
        ("format('{0}', '{1}')", "{1}"), ("format('x', 1)", "x"), ("format('{0}\n', 'é')", "é\n"),
    ],
)  # fmt: skip
def test_format_fills_its_fields(call, value):
    assert evaluate(call, CONTEXTS) == value


@pytest.mark.parametrize(
    "template",
    [
        "{",
        "}",
        "{0",
        "0}",
        "{}",
        "{a}",
        "{ 0}",
        "{-1}",
        "{0}}",
        "{{0}",
        "}{",
        "{0:x",
        "{0:}}",
        "{256}",
        "{99999999999}",
        "{\u0660}",
    ],
)
def test_format_refuses_braces_that_are_no_field(template):
    assert failure(f"format('{template}', 1)") == f"The following format string is invalid: {template}"


def test_format_refuses_what_its_arguments_cannot_fill():
    message = "The following format string references more arguments than were supplied: "
    assert failure("format('{0}')") == message + "{0}"
    assert failure("format('{0} {255}', 1)") == message + "{0} {255}"
    assert (
        failure("format('{0:D}}4}', 1)")
        == "The format specifiers 'D}4' are not valid for objects of type 'Number'"
    )


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_from_json_refuses_an_empty_text(text):
    assert failure(f"fromJSON('{text}')") == "empty input"


@pytest.mark.parametrize(
    "text", ["{", "[1,]", "nul", "NaN", "-Infinity", "1 2", "01", '"', "{a: 1}", "[" * 5000]
)
def test_from_json_refuses_what_is_not_json(text):
    assert failure(f"fromJSON('{text}')").startswith("Error parsing JSON when evaluating fromJson: ")


def test_case_wants_booleans_up_to_the_one_that_holds():
    assert failure("case(1, 2, 3)") == "case predicate must evaluate to a boolean value"
    assert failure("case(false, 2, 'true', 3, 4)") == "case predicate must evaluate to a boolean value"
    assert evaluate("case(true, 2, 'true', 3, 4)", {}) == 2


def test_the_table_of_functions_is_github_s():
    assert sorted(info.name for info, _ in BUILTINS.values()) == [
        "contains",
        "endsWith",
        "format",
        "fromJSON",
        "join",
        "startsWith",
        "toJSON",
    ]
    assert all(key == info.name.lower() for key, (info, _) in BUILTINS.items())


@pytest.mark.parametrize("call", [f"format('{'{0}' * 100}', big)", "join(many, big)", "toJSON(many)"])
def test_a_result_that_would_not_fit_is_refused_before_it_is_built(call):
    contexts = {"big": "x" * 1_000_000, "many": ["y" * 100_000] * 1_000}
    with pytest.raises(ExpressionError, match="The maximum allowed memory size was exceeded") as caught:
        evaluate(call, contexts)
    assert caught.value.kind == "evaluation"
