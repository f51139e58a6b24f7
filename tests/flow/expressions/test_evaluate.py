"""Trees and contexts into values."""

import json
from contextlib import suppress
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.flow.expressions import (
    CaseSensitive,
    ExpressionError,
    FilteredArray,
    FunctionInfo,
    evaluate,
    kind_of,
    parse,
)

CONTEXTS = {
    "foo": {
        "bar": "baz",
        "Mixed-Case": 1,
        "5": "five",
        "": "empty",
        "NaN": "nan",
        "true": "yes",
        "Object": "object",
        "*": "star",
    },
    "arr": ["zero", "one", {"name": "x"}, ["a", "b"]],
    "items": [{"name": "a", "tags": [1, 2]}, {"name": "b"}, {"other": 0}, "text", None],
    "text": "a",
    "num": 1,
    "nul": None,
    "empty": {},
    "none": [],
    "env": CaseSensitive(PATH="/bin"),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("1", 1), ("'a'", "a"), ("null", None), ("foo.bar", "baz"), ("FOO.BAR", "baz"), ("foo['MIXED-case']", 1), ("foo.mixed-case", 1),
        ("foo.missing", None), ("foo.missing.more", None), ("text.length", None), ("num[0]", None), ("nul.a", None), ("empty.a", None),
        ("foo[5]", "five"), ("foo[null]", "empty"), ("foo[NaN]", "nan"), ("foo[true]", "yes"), ("foo[empty]", None), ("foo['*']", "star"),
        ("foo[format('{0}', empty)]", "object"), ("foo[-0]", None),
        ("arr[0]", "zero"), ("arr['1']", "one"), ("arr[1.9]", "one"), ("arr[true]", "one"), ("arr[null]", "zero"), ("arr['']", "zero"), ("arr[2].NAME", "x"),
        ("arr[4]", None), ("arr[-1]", None), ("arr[Infinity]", None), ("arr[NaN]", None), ("arr['x']", None), ("arr[arr]", None), ("arr[1e300]", None),
        ("arr.name", None), ("arr[3][1]", "b"),
        ("env.PATH", "/bin"), ("env.path", None), ("env['Path']", None),
        ("!nul", True), ("!'0'", False), ("!empty", False), ("!!NaN", False),
        ("1 < 2", True), ("2 <= 2", True), ("2 > 2", False), ("2 >= 2", True), ("'B' > 'a'", True), ("1 != '1'", False), ("nul == false", True),
        ("foo == foo", True), ("arr >= arr", True), ("arr > arr", False), ("arr <= none", False), ("none != none", False),
        ("'a' && 'b'", "b"), ("'' && 'b'", ""), ("0 || '' || null", None), ("false || 0 || 'x' || 'y'", "x"), ("1 && 2 || 3", 2), ("0 && 2 || 3", 3),
        ("true && nul", None), ("true || fromJSON('')", True), ("false && fromJSON('')", False),
        ("nul[fromJSON('')]", None),
    ],
)  # fmt: skip
def test_an_expression_has_its_value(text, value):
    result = evaluate(text, CONTEXTS)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("foo.*", list(CONTEXTS["foo"].values())), ("foo[*]", list(CONTEXTS["foo"].values())), ("arr.*", CONTEXTS["arr"]),
        ("text.*", []), ("nul[*]", []), ("empty.*", []), ("none.*.a.b", []),
        ("items.*.name", ["a", "b"]), ("items[*]['NAME']", ["a", "b"]), ("items.*.tags", [[1, 2]]), ("items.*.tags[1]", [2]), ("items.*.tags.*", [1, 2]),
        ("items.*.*", ["a", [1, 2], "b", 0]), ("items.*[0]", []), ("items.*.missing", []), ("arr.*[0]", ["a"]), ("arr.*[9]", []), ("arr.*['name']", ["x"]),
        ("arr.*[none]", []), ("arr.*.*", ["x", "a", "b"]),
    ],
)  # fmt: skip
def test_a_filter_goes_on_inside_its_items(text, value):
    result = evaluate(text, CONTEXTS)
    assert result == value
    assert isinstance(result, FilteredArray)


def test_a_filter_is_a_new_array_each_time():
    assert evaluate("arr.* == arr.*", CONTEXTS) is False
    assert evaluate("arr.*[3] == arr.*[3]", CONTEXTS) is False
    assert evaluate("contains(arr.*, arr[3])", CONTEXTS) is True


def test_a_text_is_parsed_with_the_names_that_are_given():
    with pytest.raises(ExpressionError, match=r"Unrecognized named-value: 'secrets'\. Located at position 1"):
        evaluate("secrets.x", {"env": {}})
    with pytest.raises(ExpressionError, match="Unrecognized function: 'success'"):
        evaluate("success()", {})


def test_a_parsed_expression_reads_missing_contexts_as_null():
    assert evaluate(parse("a.b || 'c'"), {}) == "c"


def test_functions_are_called_with_evaluated_arguments_whatever_their_case():
    calls = []

    def hash_files(*patterns):
        calls.append(patterns)
        return "digest"

    assert evaluate("HASHFILES('a', foo.bar, arr)", CONTEXTS, {"hashFiles": hash_files}) == "digest"
    assert calls == [("a", "baz", CONTEXTS["arr"])]
    known = {"hashFiles": FunctionInfo("hashFiles", 1, 255)}
    assert (
        evaluate(parse("hashfiles('b') == 'DIGEST'", functions=known), {}, {"hashFiles": hash_files}) is True
    )


def test_a_function_that_nobody_brought_is_an_error():
    known = {"success": FunctionInfo("success", 0, 0)}
    with pytest.raises(ExpressionError, match="Unrecognized function: 'success'") as caught:
        evaluate(parse("success()", functions=known), {})
    assert caught.value.kind == "evaluation"


def test_a_builtin_function_cannot_be_replaced():
    assert evaluate("join(arr[3])", CONTEXTS, {"join": lambda *_: "mine"}) == "a,b"


def test_memory_is_limited_as_the_runner_measures_it():
    contexts = {"big": "x" * 100_000, "list": ["x"] * 10_000}
    with pytest.raises(ExpressionError) as caught:
        evaluate("format('{0}{0}{0}', big) == format('{0}{0}{0}', big)", contexts, max_bytes=1_000_000)
    assert caught.value.message.startswith(
        "The maximum allowed memory size was exceeded while evaluating the following expression: format('{0}{0}{0}', big) =="
    )
    assert evaluate("format('{0}{0}', big) == format('{0}', big)", contexts, max_bytes=1_000_000) is False
    assert evaluate("!big && !big || !big && !big", contexts, max_bytes=300_000) is False
    with pytest.raises(ExpressionError):
        evaluate("list.*", contexts, max_bytes=80_000)


def test_the_largest_chain_of_doublings_is_refused_in_no_time():
    bomb = "'x'"
    for _ in range(40):
        bomb = f"format('{{0}}{{0}}', {bomb})"
    with pytest.raises(ExpressionError, match="maximum allowed memory size"):
        evaluate(bomb, {})


def test_a_tree_as_deep_as_allowed_can_be_evaluated():
    assert evaluate("!" * 49 + "1", {}) is False
    assert evaluate("fromJSON(" * 49 + "1" + ")" * 49, {}) == 1


TEXTS = st.text(
    alphabet=st.sampled_from("ab01.,*'\"!=<>&|()[]{}$-+ \n\té\U0001f60a\ud800\x00_xX"), max_size=60
) | st.text(max_size=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(TEXTS)
def test_any_text_is_a_value_or_an_expression_error(text):
    with suppress(ExpressionError):
        kind_of(evaluate(text, {"a": {"b": [1]}, "b": [{"a": 1}], "x": None}))


@given(VALUES, VALUES, st.sampled_from(["a == b", "a < b", "a >= b", "a[b]", "a.*.*", "a.*[b]", "contains(a, b)", "join(a, b)",
    "format('{0}{1}', a, b)", "startsWith(a, b)", "endsWith(a, b)", "toJSON(a)", "!a || b"]))  # fmt: skip
def test_every_operation_takes_every_value(a, b, text):
    kind_of(evaluate(text, {"a": a, "b": b}))


@given(VALUES, VALUES)
def test_not_equal_is_the_opposite_and_nothing_is_less_and_greater(a, b):
    contexts = {"a": a, "b": b}
    assert evaluate("a == b", contexts) is not evaluate("a != b", contexts)
    assert not (evaluate("a < b", contexts) and evaluate("a > b", contexts))


@given(st.recursive(st.none() | st.booleans() | st.integers(-(10**14), 10**14) | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.from_regex("[a-z]+"), inner), max_leaves=10))  # fmt: skip
def test_from_json_undoes_to_json(value):
    assert evaluate("fromJSON(toJSON(a))", {"a": value}) == value
    assert json.loads(str(evaluate("toJSON(a)", {"a": value}))) == value


def test_special_numbers_survive():
    assert evaluate("a", {"a": inf}) == inf
    assert evaluate("a == a", {"a": nan}) is False
