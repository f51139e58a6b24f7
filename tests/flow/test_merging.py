"""YAML's merge keys, for languages that have them."""

import pytest

from agent.flow.merging import merge_keys
from agent.flow.source import plain, read_nodes


def merge(text: str) -> object:
    return plain(merge_keys(read_nodes(text, "f.yml")[0]))


@pytest.mark.parametrize(
    ("text", "merged"),
    [
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", {"a": {"x": 1, "y": 2}, "b": {"y": 3, "x": 1}}),
        ("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}", {"a": {"x": 1}, "b": {"x": 2, "y": 2}, "c": {"x": 1, "y": 2}}),
        ("a: &a {x: 1}\nb: &b {<<: *a}\nc: [{<<: *b}]", {"a": {"x": 1}, "b": {"x": 1}, "c": [{"x": 1}]}),
        ("a: {<<: {x: 1}}", {"a": {"x": 1}}),
        ("a: {<<: x}", {"a": {"<<": "x"}}),
        ("a: {<<: []}", {"a": {"<<": []}}),
        ("a: {'<<': {x: 1}}", {"a": {"<<": {"x": 1}}}),
        ("x", "x"),
    ],
)  # fmt: skip
def test_the_pairs_of_others_come_in_where_a_mapping_has_none_of_its_own(text: str, merged: object) -> None:
    assert merge(text) == merged
