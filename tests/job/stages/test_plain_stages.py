"""The stages without I/O, by the examples of their documents."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agent.errors import AgentError
from agent.job.stages.actions.table import find_make
from agent.job.stages.stage import Done, StageContext, StageError


def make(action: str, **config: object) -> Any:
    nothing: Any = None
    place = Path()
    return find_make(action)(
        StageContext("it", config, "", nothing, None, place, place, print, print, lambda: 0.0)
    )


def work(action: str, values: Sequence[object], **config: object) -> Done:
    done = make(action, **config).work(values)
    assert isinstance(done, Done)
    return done


def give(action: str, value: object, **config: object) -> list[object]:
    """What becomes of one record."""
    return list(work(action, [value], **config).values)


def refusal(action: str, value: object, **config: object) -> str:
    with pytest.raises(StageError) as caught:
        work(action, [value], **config)
    assert caught.value.is_final
    return str(caught.value)


RECORD = {
    "field1": "a", "field2": "b", "field3": "c", "field4": "d", "field5": "e", "field6": "f", "number": "01.00", "text": 9.1,
}  # fmt: skip


def test_field_map_takes_drops_renames_and_converts_as_its_document_says() -> None:
    mapped = give(
        "field_map",
        RECORD,
        take=["field1", "field2"],
        drop=["field3", "field4"],
        rename={"field5": "newname1", "field6": "newname2"},
        convert={"number": "int", "text": "string"},
    )
    assert mapped == [
        {"field1": "a", "field2": "b", "newname1": "e", "newname2": "f", "number": 1, "text": "9.1"}
    ]


def test_field_map_without_config_hands_on_what_came() -> None:
    assert give("field_map", RECORD) == [RECORD]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"take": ["field1", "missing"]}, {"field1": "a"}),
        ({"take": "field1"}, {"field1": "a"}),
        ({"take": ["field1", "field2"], "drop": ["field2"]}, {"field1": "a"}),
        ({"drop": [name for name in RECORD if name != "field1"]}, {"field1": "a"}),
        ({"take": [], "rename": {"field1": "one"}}, {"one": "a"}),
        ({"take": [], "rename": {"number": "n"}, "convert": {"n": "float"}}, {"n": 1.0}),
        ({"take": [], "rename": {"number": "n"}, "convert": {"number": "int"}}, {"n": 1}),
    ],
)
def test_what_field_map_leaves(config: dict[str, object], expected: dict[str, object]) -> None:
    assert give("field_map", RECORD, **config) == [expected]


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("int", "01.00", 1), ("int", 7.9, 7), ("int", True, 1), ("int", "9007199254740993", 9007199254740993),
        ("float", "1.5", 1.5), ("float", 2, 2.0), ("string", 9.1, "9.1"), ("string", "x", "x"), ("string", None, "null"),
        ("string", {"a": [1]}, '{"a":[1]}'), ("string", True, "true"), ("bool", "false", False), ("bool", "Yes", True),
        ("bool", 0, False), ("bool", True, True),
    ],
)  # fmt: skip
def test_a_conversion_gives(kind: str, value: object, expected: object) -> None:
    (given,) = give("field_map", {"v": value}, convert={"v": kind})
    (taken,) = give("field_map", {"v": value}, take=["v"], convert={"v": kind})
    assert given == taken == {"v": expected}
    assert type(given["v"]) is type(expected)  # type: ignore[index]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", "x"),
        ("int", None),
        ("int", [1]),
        ("int", "inf"),
        ("float", "nan"),
        ("bool", "maybe"),
        ("bool", None),
    ],
)
def test_what_cannot_be_converted_says_so(kind: str, value: object) -> None:
    for config in ({}, {"take": ["v"]}):
        assert "field 'v' can't become" in refusal("field_map", {"v": value}, convert={"v": kind}, **config)


FILTERED = [
    {"field1": "spooky cat", "field2": "some string"},
    {"field1": "spooky cat", "field2": "foobar"},
]


def test_filter_passes_only_matches_as_its_document_says() -> None:
    config = {"field": ["field1", "field2"], "match": "some string", "reject_matches": False}
    assert work("filter", FILTERED, **config) == Done([FILTERED[0]], [0])
    assert work("filter", FILTERED, field="field2", match="some string") == Done([FILTERED[1]], [1])


@pytest.mark.parametrize(
    ("config", "value", "passes"),
    [
        ({"field": "n", "match": 1}, {"n": 1}, False),
        ({"field": "n", "match": 1}, {"n": True}, True),
        ({"field": "n", "match": 1}, {"n": 1.0}, False),
        ({"field": "n", "match": None}, {}, True),
        ({"field": "n", "match": None}, {"n": None}, False),
        ({"field": "n", "match": "x"}, "x", True),
        ({"field": "n", "match": "x"}, ["x"], True),
        ({"field": "n", "match": "x", "pattern": "y"}, {"n": "y"}, True),
        ({"field": "n", "pattern": "^a.c"}, {"n": "abcd"}, False),
        ({"field": "n", "pattern": "^a.c"}, {"n": "xabc"}, True),
        ({"field": "n", "pattern": "12"}, {"n": 3120}, False),
        ({"field": ["m", "n"], "pattern": "b"}, {"m": "a", "n": "b"}, False),
        ({"field": "n", "pattern": "b", "reject_matches": False}, {"m": "b"}, False),
    ],
)
def test_what_a_filter_passes(config: dict[str, object], value: object, passes: bool) -> None:
    assert (give("filter", value, **config) == [value]) is passes


def test_a_pattern_that_is_none_is_refused_when_the_stage_is_made() -> None:
    with pytest.raises(AgentError, match="`pattern` is no regular expression"):
        make("filter", field="n", pattern="(")


def test_json_decode_makes_json_of_texts_and_leaves_what_is_json() -> None:
    assert give("json_decode", '{"a": [1, 2.5, null]}') == [{"a": [1, 2.5, None]}]
    assert give("json_decode", {"base64": "eyJhIjogMX0="}) == [{"a": 1}]
    assert give("json_decode", {"a": 1}) == [{"a": 1}]
    assert give("json_decode", {"a": 1, "body": "[1]"}, field="body") == [{"a": 1, "body": [1]}]
    assert refusal("json_decode", "{").startswith("the record is no JSON: ")
    assert refusal("json_decode", {"a": "NaN"}, field="a").startswith("field 'a' is no JSON: ")
    assert refusal("json_decode", {"a": 1}, field="b") == "the record has no field 'b'"


def test_merge_data_puts_its_fields_over_those_of_the_record() -> None:
    value = {"a": 1, "b": 2}
    assert give("merge_data", value, data={"b": 3, "c": {"d": 4}}) == [{"a": 1, "b": 3, "c": {"d": 4}}]
    assert value == {"a": 1, "b": 2}
    assert refusal("merge_data", [1], data={}) == "the record is a list, no object"


def test_map_takes_a_list_apart() -> None:
    assert work("map", [[1, 2], [], [3]]) == Done([1, 2, 3], [0, 0, 2])
    assert give("map", {"items": [1, 2], "x": 0}, field="items") == [1, 2]
    assert give("map", {"items": [1, 2], "x": 0}, field="items", keep=True) == [
        {"items": 1, "x": 0},
        {"items": 2, "x": 0},
    ]
    assert refusal("map", {"a": 1}) == "the record is an object, no list"
    assert refusal("map", {"a": 1}, field="b") == "field 'b' is null, no list"


def test_reduce_makes_one_object_of_a_list() -> None:
    pair = [{"id": 1, "tags": ["a"]}, {"id": 2, "tags": ["b", "c"], "n": 3}]
    assert give("reduce", pair, merge=True) == [{"id": 2, "tags": ["b", "c"], "n": 3}]
    assert give("reduce", pair, concat_field="tags") == [{"id": 2, "tags": ["a", "b", "c"], "n": 3}]
    assert give("reduce", [{"t": "x"}, {"t": "y"}], concat_field="t") == [{"t": ["x", "y"]}]
    assert refusal("reduce", {"a": 1}, merge=True) == "the record is an object, no list"


def test_error_fails_at_every_record_and_may_be_tried_again() -> None:
    done = work("error", [1, 2])
    assert list(done.failed) == [0, 1]
    assert not done.failed[0].is_final


def test_a_stage_that_this_version_does_not_know_is_refused_with_a_remedy() -> None:
    with pytest.raises(AgentError, match="no stage 'teleport'; upgrade the agent"):
        find_make("teleport")
