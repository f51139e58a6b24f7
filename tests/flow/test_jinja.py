"""Templates of Jinja's as expressions of ours: paths and literals, and nothing that computes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.flow.expressions import evaluate_paths, parse
from agent.flow.jinja import translate_expression, translate_text


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("variable.sum", "variable.sum"),
        ("event.points.0.x", "event.points[0].x"),
        ("event.points[1]['two words']", "event.points[1]['two words']"),
        ('event["it\'s"]', "event['it''s']"),
        ("steps.Download File.output.path", "steps['Download File'].output.path"),
        ("steps.add.outputs.sum", "steps['add'].output.sum"),
        ("steps.Version 1.2.output.a.b", "steps['Version 1.2'].output.a.b"),
        ("jobs.first.outputs.sum", "needs['first'].outputs.sum"),
        ("inputs.path", "input.path"),
        ("input.path", "input.path"),
        ("12", "12"), ("-1.5e3", "-1.5e3"), ("'a'", "'a'"), ('"it\'s"', "'it''s'"),
        ("True", "true"), ("false", "false"), ("none", "null"), ("None", "null"),
    ],
)  # fmt: skip
def test_a_path_or_a_literal_becomes_an_expression(written, meant):
    assert translate_expression(written) == meant
    parse(meant)


@pytest.mark.parametrize(
    "written",
    ["a + 1", "a | upper", "a == b", "range(3)", "a if b else c", "a.b()", "[1, 2]", "a[b]", "a.", "a ~ b", "-a", "not a"],
)  # fmt: skip
def test_what_computes_is_refused_with_what_to_do(written):
    found = translate_text(f"x ${{{{ {written} }}}}")
    assert found.complaint == f"`{written}` is neither a path nor a literal"
    assert "variable.sum" in found.hint


@pytest.mark.parametrize(("written", "what"), [("${% if a %}", "block"), ("a ${# note #} b", "comment")])
def test_blocks_and_comments_are_refused(written, what):
    assert translate_text(written).complaint.startswith(f"a {what}, ")
    assert translate_text("echo ${#NAME} ${%}").complaint == ""


def test_what_is_no_template_stays_as_it_is():
    for text in ("", "plain", "$HOME {{ x }} ${x}", "50%"):
        assert translate_text(text) == (text, "", "")


def test_a_template_that_is_not_closed_or_empty_is_refused():
    assert "not closed" in translate_text("${{ a.b").complaint
    assert translate_text("${{ }}").complaint == "An expression was expected"


def test_the_contexts_that_a_text_reads_are_told():
    assert translate_text("${{ variable.a }} ${{ steps.b.output.c }} ${{ 1 }} ${{ true }}").roots == {
        "variable",
        "steps",
    }


_NAMES = st.text("abcxyz_", min_size=1, max_size=5).filter(lambda name: name not in ("none", "null"))


@given(
    st.lists(_NAMES, min_size=1, max_size=4), st.integers() | st.text(max_size=5) | st.lists(st.booleans())
)
def test_a_path_leads_to_what_is_there_whatever_its_members_are_called(names, value):
    contexts = value
    for name in reversed(names):
        contexts = {name: contexts}
    text = translate_text("${{ zz." + ".".join(names) + " }}").text
    assert evaluate_paths(text, {"zz": contexts}) == value
