"""YAML as GitHub reads it: values by the 1.2 core schema, exact positions, and limits that hold while reading."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.flow import nodes
from agent.flow.problems import InvalidFlowError
from agent.flow.source import (
    Mapping,
    Sequence,
    YamlLimits,
    find_repeated_keys,
    plain,
    read_nodes,
    read_source,
)


def read(text: str) -> object:
    return plain(read_source(text, "flow.yml"))


def refusal(text: str, **limits: int) -> str:
    with pytest.raises(InvalidFlowError) as caught:
        read_source(text, "flow.yml", limits=YamlLimits(**limits))
    return str(caught.value.problems[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"), ("yes", "yes"), ("no", "no"), ("true", True), ("True", True), ("TRUE", True), ("tRUE", "tRUE"),
        ("false", False), ("False", False), ("FALSE", False), ("null", None), ("Null", None), ("NULL", None), ("~", None),
        ("1", 1), ("-1", -1), ("+1", 1), ("007", 7), ("0o14", 12), ("0x1F", 31), ("-0x1F", "-0x1F"), ("1_000", "1_000"),
        ("1.5", 1.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("-1E-2", -0.01), (".", "."), ("1e", "1e"), ("+", "+"),
        (".inf", math.inf), ("+.INF", math.inf), ("-.Inf", -math.inf), ("12:30", "12:30"), ("2001-12-14", "2001-12-14"),
        ("=", "="), ("<<", "<<"), ("9007199254740993", 9007199254740992.0), ("1" * 400, math.inf), ("1" * 401, math.inf),
        ("-" + "1" * 401, -math.inf), ("0b1", "0b1"), ("\u0661", "\u0661"),
    ],
)  # fmt: skip
def test_a_plain_scalar_means_what_yaml_1_2_says(text, value):
    assert read(f"k: {text}\n") == {"k": value}
    assert type(nodes.resolve_plain(text)) is type(value)


def test_not_a_number_is_a_number():
    assert math.isnan(nodes.resolve_plain(".nan"))


@pytest.mark.parametrize("text", ["'1'", '"1"', "|-\n  1", ">-\n  1", "!!str 1"])
def test_a_quoted_block_or_string_tagged_scalar_is_text(text):
    assert read(f"k: {text}\n") == {"k": "1"}


def test_positions_are_those_of_keys_and_contents():
    root = read_source("a:\n  - x\n  - 'y'\n  -   {b: 1}\nc: |\n  text\nd:   # nothing\n", "f.yml")
    assert isinstance(root, Mapping)
    (a, items), (_, block), (_, nothing) = root.pairs
    assert isinstance(items, Sequence)
    assert str(a.position) == "f.yml:1:1"
    assert [str(item.position) for item in items.items] == ["f.yml:2:5", "f.yml:3:5", "f.yml:4:7"]
    assert str(items.position) == "f.yml:2:3"
    assert str(block.position) == "f.yml:5:4"
    assert str(nothing.position) == "f.yml:7:6"


def test_a_value_stands_behind_its_anchor_and_tag():
    root = read_source("a: &x\n  # why\n  b: 1\nc: &y !!str z\nd: &n\ne: !!map {}\n", "f.yml")
    assert isinstance(root, Mapping)
    assert [(value.line, value.column) for _, value in root.pairs] == [(3, 3), (4, 13), (5, 6), (6, 10)]


def test_an_alias_is_what_its_anchor_stands_for_where_that_stands():
    root = read_source("a: &x [1]\nb: *x\nc: &s t\nd: *s\n? &k kk\n: 1\n", "f.yml")
    assert plain(root) == {"a": [1], "b": [1], "c": "t", "d": "t", "kk": 1}
    assert isinstance(root, Mapping)
    assert root.find("b") is root.find("a")
    assert root.find("nothing") is None


def test_a_merge_key_is_an_ordinary_key():
    assert read("a: &x {b: 1}\nc: {<<: *x}\n") == {"a": {"b": 1}, "c": {"<<": {"b": 1}}}


def test_keys_are_text():
    assert read("1: a\ntrue: b\n~: c\n1.50: d\n") == {"1": "a", "true": "b", "": "c", "1.5": "d"}


@pytest.mark.parametrize(
    "odd", ["\x00", "\x07", "\x1b[0m", "\x7f", "\x85", "\x9f", "\u2028", "\u2029", "a\ufeffb", "\uffff"]
)
def test_odd_characters_are_content(odd):
    text = f"# {odd}\na: x{odd}y\nb: |\n  {odd}\nc: '{odd}'\n"
    assert read(text) == {"a": f"x{odd}y", "b": f"{odd}\n", "c": odd}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1\n\t\nb: 2\n", {"a": 1, "b": 2}),
        ("a:\n  b: 1\n \t \n  c: 2\n\t# d\n", {"a": {"b": 1, "c": 2}}),
        ("a:\n  - b\n  -\tc\n", {"a": ["b", "c"]}),
        ("a: |\n  \tb\n", {"a": "\tb\n"}),
        ("a: |\n  \t\tb\n  c\n", {"a": "\t\tb\nc\n"}),
        ("a:\tb\t\n", {"a": "b"}),
        ("a: 1\n\t", {"a": 1}),
    ],
)
def test_tabs_that_only_fill_space_are_no_harm(text, value):
    assert read(text) == value


def test_columns_count_as_github_and_editors_count():
    root = read_source("a: {\U0001f680: \U0001f680, b: [c], \U0001f680d: &x e}\n\U0001f680: f\n", "f.yml")
    assert isinstance(root, Mapping)
    inner = root.pairs[0][1]
    assert isinstance(inner, Mapping)
    assert [(key.column, value.column) for key, value in inner.pairs] == [(5, 9), (13, 16), (21, 29)]
    assert [(key.line, key.column, value.column) for key, value in root.pairs][1] == (2, 1, 5)


def test_a_byte_order_mark_is_not_content():
    assert read("\ufeffa: 1") == {"a": 1}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_null(text):
    assert read(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: {c: 1, d: 2, c: 3}\na: 2\n", "f:2:17: 'c' is already defined"),
        ("- a: 1\n  a: 2\n", "f:2:3: 'a' is already defined"),
    ],
)
def test_a_repeated_key_is_a_problem_with_its_place(text, problem):
    node, problems = read_nodes(text, "f")
    assert problems == []
    assert problem in [str(found) for found in find_repeated_keys(node)]
    with pytest.raises(InvalidFlowError):
        read_source(text, "f")


def test_a_shared_node_is_searched_once_for_repeated_keys():
    node, _ = read_nodes("a: &x {b: 1, b: 2}\nc: [*x, *x]\n", "f")
    assert len(find_repeated_keys(node)) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: b: c", "flow.yml:1:5: Not valid YAML: mapping values are not allowed"),
        ("a:\n\t- b", "indent with spaces"),
        ("if: !contains(a, 'b')", "write the condition as `${{ !... }}`"),
        ("if: !cancelled()", "flow.yml:1:5: Unexpected tag '!cancelled()'"),
        ("a: !x {}", "Unexpected tag '!x'"),
        ("a: !!set {}", "Unexpected tag 'tag:yaml.org,2002:set'"),
        ("a: !!bool maybe", "flow.yml:1:11: The value 'maybe' is invalid for the type 'bool'"),
        ("a: !!int 'x'", "is invalid for the type 'int'"),
        ("x: \x1b\U0010e000", "flow.yml:1:4: Not valid YAML: control characters are not allowed"),
        ("a:\n  b: 1\n\tc: 2", "indent with spaces, not tabs"),
        ("a:\n  - b\n  -\tc: d", "indent with spaces"),
        ("a: |\n  b\n\t\n  c", "indent with spaces, not tabs"),
        ("a: |\n\tb", "flow.yml:2:1: Not valid YAML"),
        ("b: 1\na: \ud800", "flow.yml:2:4: half of a surrogate pair"),
        ("- a\n---\n- b", "flow.yml:2:1: Source contains multiple documents"),
        ("a: *b", "flow.yml:1:4: Unknown anchor 'b'"),
        ("a: &a [*a]", "flow.yml:1:8: The alias 'a' contains itself"),
        ("? [a]\n: b", "flow.yml:1:1: A list or mapping cannot be a key"),
        ("a: {{b: 1}: c}", "flow.yml:1:4: A list or mapping cannot be a key; write `${{ }}`"),
        ("a: &x [1]\n? *x\n: b", "A list or mapping cannot be a key"),
        ("a: 'b", "a quote is not closed"),
        ("a: [b", "is not closed"),
        ("[1, 2", "is not closed"),
    ],
)
def test_what_is_no_yaml_for_us_is_a_problem_with_place_and_words(text, words):
    assert words in refusal(text)


@pytest.mark.parametrize(
    ("tagged", "value"),
    [("!!int 5", 5), ("!!bool true", True), ("!!null ~", None), ("!!float 5", 5), ("!!seq [1]", [1])],
)
def test_the_core_tags_are_read(tagged, value):
    assert read(f"a: {tagged}") == {"a": value}


@pytest.mark.parametrize(
    ("text", "limits", "words"),
    [
        ("[" * 3, {"depth": 2}, "flow.yml:1:3: Maximum object depth exceeded"),
        ("a: &a [[1]]\nb: [*a]", {"depth": 3}, "flow.yml:2:5: Maximum object depth exceeded"),
        ("a: 123", {"characters": 5}, "The maximum file size of 5 characters has been exceeded"),
        ("[1, 2, 3]", {"nodes": 3}, "flow.yml:1:8: Maximum YAML nodes exceeded"),
        ("[&a [1, 2], *a]", {"nodes": 6}, "flow.yml:1:13: Maximum YAML nodes exceeded"),
        ("[&a abcd, *a, *a]", {"expanded_characters": 10}, "flow.yml:1:15: Maximum object size exceeded"),
    ],
)
def test_limits_hold_while_reading(text, limits, words):
    assert words in refusal(text, **limits)


@pytest.mark.parametrize("count", [52, 1_000, 1_001, 2_000])
@pytest.mark.parametrize("opening", ["[", "{a: ", "{", "- [", "a: ["])
@pytest.mark.parametrize("libyaml", [True, False])
def test_our_bound_on_depth_speaks_before_any_of_the_parsers(monkeypatch, opening, count, libyaml):
    """libyaml 0.2.6 has one of its own, of 1,000, and sees lists up to 1,024 characters before it tells of them."""
    import yaml

    monkeypatch.setattr(yaml, "__with_libyaml__", libyaml and yaml.__with_libyaml__)
    text = opening * count if opening in ("[", "{", "{a: ") else f"{opening}{'[' * count}"
    words = refusal(text)
    if opening == "{":
        assert "cannot be a key" in words
    else:
        assert "Maximum object depth exceeded" in words


@pytest.mark.parametrize("end_of_line", ["\n", "\r", "\r\n"])
def test_a_mapping_as_a_key_is_refused_in_its_place_whatever_ends_a_line(end_of_line):
    assert "flow.yml:2:1: A list or mapping cannot be a key; write `${{ }}`" in refusal(
        f"# what{end_of_line}{{{{ x }}: 1}}"
    )


def test_what_just_fits_is_read():
    assert plain(read_source("[[1]]", "f", limits=YamlLimits(depth=2, characters=5, nodes=5))) == [[1]]


BOMB = "a: &a [x,x,x]\n" + "\n".join(
    f"a{i}: &a{i} [{','.join(['*a' + str(i - 1 if i else '')] * 9)}]" for i in range(40)
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB, "[" * 10_000, "{a: " * 10_000, "- " * 10_000, "? " * 10_000, "[" * 1_000_000, "- a\n" * 250_000,
        "\n".join("  " * depth + "a:" for depth in range(1000)),
        "\n".join(f"j{i}: {{runs-on: x, steps: [{{run: a}}]}}" for i in range(10_000)),
    ],
    ids=str.__len__,
)  # fmt: skip
def test_hostile_files_are_refused(text):
    assert "Maximum" in refusal(text) or "cannot be a key" in refusal(text)


@given(
    st.text(
        alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`,?~ \n\t\r0.1e\x00\x1b\ud800\u2028\ufeff"), max_size=60
    )
)
def test_any_text_is_nodes_or_problems(text):
    try:
        node, _ = read_nodes(text, "f")
    except InvalidFlowError as error:
        places = [problem.position for problem in error.problems]
    else:
        plain(node)
        places = [node.position]
    assert places
    assert all(place.line >= 1 and place.column >= 1 for place in places)


def test_the_python_parser_reads_the_same(monkeypatch):
    import yaml

    text = "a: &x\n  b: 1\nc: *x\nd: |\n  t\ne:\n"
    with_c = read(text)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    assert read(text) == with_c
    assert "Not valid YAML" in refusal("x: \x1b\U0010e000")
    assert "Not valid YAML" in refusal("a: b: c")
