"""Records become JSON and come back; what is not of the form is named."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import codec
from agent.errors import DamagedError
from agent.ids import JobId, RunId
from agent.spec.job import JobSpec, Source, SourceKind, SpecStepKind, StepSpec, StepsWork
from agent.spec.outcome import Conclusion, FailureKind, JobResult

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
texts = st.dictionaries(st.text(), st.text(), max_size=3)
steps = st.builds(
    StepSpec,
    kind=st.sampled_from(SpecStepKind),
    id=st.text(),
    run=json_values,
    env=json_values,
    with_=st.dictionaries(st.text(), json_values, max_size=3),
    targets=st.lists(st.text(), max_size=2).map(tuple),
    background=st.booleans(),
)
specs = st.builds(
    JobSpec,
    run=st.integers(1).map(RunId),
    job=st.text().map(JobId),
    key=st.text(),
    name=st.text(),
    work=st.lists(steps, max_size=3).map(tuple).map(StepsWork),
    env=st.lists(json_values, max_size=2).map(tuple),
    timeout_minutes=st.floats(0, 1e9),
    contexts=st.dictionaries(st.text(), st.dictionaries(st.text(), json_values, max_size=3), max_size=3),
    source=st.builds(Source, kind=st.sampled_from(SourceKind), url=st.text()),
)


@given(specs)
def test_a_job_comes_back_as_it_went(spec: JobSpec) -> None:
    assert codec.parse(JobSpec, codec.dump(spec)) == spec


@given(
    st.builds(
        JobResult, st.sampled_from(Conclusion), texts, st.none() | st.sampled_from(FailureKind), st.text()
    )
)
def test_a_result_comes_back_as_it_went(result: JobResult) -> None:
    assert codec.parse(JobResult, codec.dump(result)) == result


@dataclass(frozen=True)
class Inner:
    number: int
    data: bytes = b""


@dataclass(frozen=True)
class Outer:
    inner: Inner
    flag: bool = False
    share: float | None = None
    names: tuple[str, ...] = ()
    more: Mapping[str, Inner] = field(default_factory=dict)
    kind: Conclusion = Conclusion.SUCCESS


def test_bytes_travel_as_base64_and_whole_numbers_count_as_floats() -> None:
    outer = codec.from_json(Outer, {"inner": {"number": 1, "data": "AAE="}, "share": 1})
    assert outer.inner.data == b"\0\1"
    assert outer.share == 1.0


def test_unknown_keys_are_left_alone_so_that_a_newer_writer_can_add_one() -> None:
    assert codec.from_json(Outer, {"inner": {"number": 1, "new": []}, "newer": {}}) == Outer(Inner(1))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, "'inner' is missing (Outer)"),
        ({"inner": []}, "expected an object, found list (Outer.inner)"),
        ({"inner": {"number": True}}, "expected int, found bool (Outer.inner.number)"),
        ({"inner": {"number": "1"}}, "expected int, found str (Outer.inner.number)"),
        ({"inner": {"number": 1, "data": "?"}}, "not base64 text (Outer.inner.data)"),
        ({"inner": {"number": 1, "data": 1}}, "expected base64 text, found int (Outer.inner.data)"),
        ({"inner": {"number": 1}, "names": "x"}, "expected a list, found str (Outer.names)"),
        ({"inner": {"number": 1}, "names": ["a", 2]}, "expected str, found int (Outer.names[1])"),
        (
            {"inner": {"number": 1}, "more": {"k": {"number": None}}},
            "expected int, found NoneType (Outer.more.k.number)",
        ),
        ({"inner": {"number": 1}, "kind": "odd"}, "'odd' is not a Conclusion (Outer.kind)"),
        ({"inner": {"number": 1}, "share": True}, "expected a number, found bool (Outer.share)"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(data: object, words: str) -> None:
    with pytest.raises(DamagedError) as caught:
        codec.from_json(Outer, data)
    assert str(caught.value) == words


def test_text_that_is_no_json_is_damage_not_a_crash() -> None:
    for text in ("{", "[" * 100_000):
        with pytest.raises(DamagedError, match="not valid JSON"):
            codec.parse(Outer, text)


def test_what_has_no_json_form_is_a_bug_of_ours() -> None:
    with pytest.raises(TypeError, match="set has no JSON form"):
        codec.to_json({1, 2})


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "{", "[" * 100_000, b"\xff"])
def test_what_a_stranger_wrote_is_json_as_its_standard_has_it_or_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        codec.load_standard(text)


def test_a_record_says_which_one_it_is_where_that_is_asked_for() -> None:
    text = codec.dump(codec.tag("inner", Inner(1, b"\0")))
    assert codec.load_standard(text) == {"kind": "inner", "number": 1, "data": "AA=="}


def test_paths_are_text(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Place:
        folder: Path
        other: Path | None = None

    assert codec.to_json(Place(tmp_path)) == {"folder": str(tmp_path), "other": None}
    assert codec.parse(Place, codec.dump(Place(tmp_path, tmp_path / "a"))) == Place(tmp_path, tmp_path / "a")
