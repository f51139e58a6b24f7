"""How toJSON prints."""

from math import nan

import pytest

from agent.flow.expressions import to_json_text
from agent.flow.expressions.errors import ResultTooLargeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"), (True, "true"), (1.0, "1"), (-0.0, "0"), (nan, "NaN"), ("a", '"a"'), ([], "[]"), ({}, "{}"), ((), "[]"),
        ([1, [2, []], {}], "[\n  1,\n  [\n    2,\n    []\n  ],\n  {}\n]"),
        ({"a": {"b": [True]}, "c": None}, '{\n  "a": {\n    "b": [\n      true\n    ]\n  },\n  "c": null\n}'),
        ('"\\/\b\f\n\r\t\x01\x7f', '"\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f"'),
        ("é\x85\u2028\u2029", '"é\\u0085\\u2028\\u2029"'),
    ],
)  # fmt: skip
def test_json_is_printed_as_github_prints_it(value, text):
    assert to_json_text(value) == text


def test_json_of_any_depth_is_printed_and_too_long_a_text_is_refused():
    deep: list[object] = []
    for _ in range(50_000):
        deep = [deep]
    with pytest.raises(ResultTooLargeError):
        to_json_text(deep, max_length=1_000_000)
    assert len(to_json_text(["aaaaaaaaaa"], max_length=18)) == 18
    with pytest.raises(ResultTooLargeError):
        to_json_text(["aaaaaaaaaa"], max_length=17)
