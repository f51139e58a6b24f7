"""Forms: text read as what is asked for, defaults, and what the schema says; none holds up or sends out whoever looks through it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import UsageError
from agent.flow import forms
from agent.flow.filled import check_answer
from agent.flow.forms import MOST_SCHEMAS, check_values, fill_form, has_validator, list_mistakes, read_text

FORM = {
    "type": "object",
    "properties": {
        "epochs": {"type": "integer", "minimum": 1, "default": 3},
        "rate": {"type": "number"},
        "is_good": {"type": "boolean"},
        "label": {"enum": ["cat", "dog", 7]},
        "boxes": {"type": "array", "items": {"type": "number"}},
        "note": {"type": ["string", "null"]},
        "anything": {},
    },
    "required": ["label"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("epochs", "12", 12),
        ("epochs", "1.5", "1.5"),
        ("epochs", "many", "many"),
        ("rate", "1e-3", 0.001),
        ("rate", "true", "true"),
        ("is_good", "true", True),
        ("is_good", "yes", "yes"),
        ("label", "7", 7),
        ("label", "cow", "cow"),
        ("boxes", "[1, 2]", [1, 2]),
        ("note", "7", "7"),
        ("anything", "7", "7"),
        ("unknown", "7", "7"),
    ],
)
def test_text_is_read_as_the_kind_that_the_form_asks_for(name: str, text: str, read: object) -> None:
    assert fill_form(FORM, {name: text})[name] == read


def test_what_is_left_out_gets_the_default() -> None:
    assert fill_form(FORM, {"label": "cat"}) == {"label": "cat", "epochs": 3}


def test_everything_that_is_wrong_is_said_with_its_field_and_place() -> None:
    with pytest.raises(UsageError) as caught:
        check_values(FORM, {"label": "cow", "epochs": "0", "colour": "red"}, "flow.yml:3:5")
    assert caught.value.where == "flow.yml:3:5"
    for said in ("label: ", '"cow" is not one of', "epochs: 0 is less than the minimum of 1", "'colour'"):
        assert said in caught.value.what
    assert "label" in caught.value.hint


def test_a_field_that_is_missing_is_said_to_be() -> None:
    assert [str(mistake) for mistake in list_mistakes(FORM, {})] == ["label: is required"]


def test_without_what_checks_forms_missing_fields_are_said_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(forms, "find_spec", lambda _name: None)
    assert not has_validator()
    assert list_mistakes(FORM, {"label": "cow"}) == []
    assert list_mistakes(FORM, {}) != []


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"type": "strin"}, "no JSON schema"),
        ({"$ref": "https://example.org/form.json"}, "refers to 'https://example.org/form.json'"),
        ({"$ref": "#"}, "refers to '#'"),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "contains itself"),
        ({"properties": {"a": {"type": "string", "pattern": "("}}}, "no JSON schema"),
    ],
)
def test_what_is_no_form_is_told_at_its_place(form: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=r"flow\.yml:3:5") as caught:
        check_values(form, {"a": "b"}, "flow.yml:3:5")
    assert said in caught.value.what


def test_a_form_that_doubles_with_each_reference_is_refused() -> None:
    definitions: dict[str, Any] = {
        f"a{depth}": {"allOf": [{"$ref": f"#/$defs/a{depth + 1}"}] * 2} for depth in range(60)
    }
    with pytest.raises(UsageError, match=f"more than {MOST_SCHEMAS}"):
        list_mistakes({"$defs": {**definitions, "a60": {}}, "$ref": "#/$defs/a0"}, {})


def test_a_pattern_that_would_take_for_ever_is_given_up() -> None:
    form = {"properties": {"a": {"type": "string", "pattern": r"^((a+)+)\1$"}}}
    (mistake,) = list_mistakes(form, {"a": "a" * 5000 + "!"})
    assert mistake.field == "a"


def test_a_form_may_refer_to_its_own_parts() -> None:
    form = {
        "$defs": {"name": {"type": "string", "minLength": 2}},
        "properties": {name: {"$ref": "#/$defs/name"} for name in ("a", "b")},
    }
    assert list_mistakes(form, {"a": "xy", "b": "xyz"}) == []
    assert [mistake.field for mistake in list_mistakes(form, {"a": "x", "b": "y"})] == ["a", "b"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
KINDS = {bool: "boolean", int: "integer", list: "array", dict: "object", type(None): "null", str: "string"}


@given(JSON)
def test_a_value_written_as_text_is_read_back_as_itself(value: object) -> None:
    field = {"type": KINDS[type(value)]}
    assert read_text(field, value if isinstance(value, str) else json.dumps(value)) == value


OPEN = {"type": "object", "properties": {"good": {"type": "integer"}, "kind": {"type": "string"}}}


def test_an_answer_has_no_names_but_the_forms() -> None:
    assert check_answer(OPEN, {"good": "7"}, "w") == {"good": 7}
    with pytest.raises(UsageError) as told:
        check_answer(OPEN, {"good": 7, "kindd": "cat"}, "w")
    assert str(told.value) == "the form has no field 'kindd' (w); did you mean `kind`?"
    with pytest.raises(UsageError) as told:
        check_answer(OPEN, {"zzz": 1}, "w")
    assert str(told.value) == "the form has no field 'zzz' (w); its fields: good, kind"


@pytest.mark.parametrize(
    "opening",
    [
        {"additionalProperties": True},
        {"additionalProperties": {"type": "integer"}},
        {"patternProperties": {"z": {}}},
        {"allOf": [{"properties": {"zzz": {}}}]},
        {"properties": {}},
    ],
)
def test_an_answer_may_have_what_the_form_says_that_it_may(opening: dict[str, object]) -> None:
    assert check_answer({**OPEN, **opening}, {"zzz": 1}, "w") == {"zzz": 1}
