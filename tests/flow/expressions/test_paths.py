"""Templates of paths: what they lead to keeps its kind, and what leads nowhere is an error."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.flow.expressions import ExpressionError, evaluate_paths, write_value

HERE = {"variable": {"sum": 30, "list": [1, {"k": None}], "on": True, "text": "é", "none": None}}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("${{ variable.sum }}", 30),
        ("${{ variable.list }}", [1, {"k": None}]),
        ("${{ variable.list[1].k }}", None),
        ("${{ VARIABLE.Sum }}", 30),
        ("${{ 'a' }}", "a"), ("${{ null }}", None), ("${{ true }}", True), ("${{ 1.5 }}", 1.5),
        ("n=${{ variable.sum }}", "n=30"),
        ("${{ variable.list }}!", '[1, {"k": null}]!'),
        ("${{ variable.on }}${{ variable.none }}${{ variable.text }}", "trueé"),
        (5, 5), (None, None), (False, False),
        (["${{ variable.list }}", {"a ${{ variable.sum }}": "${{ variable.sum }}"}], [[1, {"k": None}], {"a 30": 30}]),
    ],
)  # fmt: skip
def test_a_template_gives(template, value):
    assert evaluate_paths(template, HERE) == value


@pytest.mark.parametrize(
    "path", ["variable.other", "variable.sum.x", "variable.list[2]", "variable.list.k", "other", "other.x"]
)
def test_a_path_that_leads_nowhere_is_an_error_that_names_it(path):
    with pytest.raises(ExpressionError, match="leads to nothing that is there") as caught:
        evaluate_paths(f"a ${{{{ {path} }}}}", HERE)
    assert f"`{path}`" in caught.value.message


@pytest.mark.parametrize("text", ["a == b", "!a", "format('x')", "a[variable.sum]", "a.*"])
def test_what_is_more_than_a_path_is_an_error(text):
    with pytest.raises(ExpressionError):
        evaluate_paths(f"${{{{ {text} }}}}", {"a": {"x": 1}, **HERE})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(_JSON)
def test_whatever_a_whole_path_leads_to_comes_out_as_it_is(value):
    assert evaluate_paths("${{ v.x }}", {"v": {"x": value}}) == value
    text = write_value(value)
    if isinstance(value, dict | list):
        assert json.loads(text) == value
    assert evaluate_paths("<${{ v.x }}>", {"v": {"x": value}}) == f"<{text}>"
