"""Paths of names held against what is known to be there."""

import pytest

from agent.flow.dialects.github.table.members import VOCABULARY
from agent.flow.expressions import member_paths, parse
from agent.flow.members import (
    Declared,
    DeclaredElsewhere,
    Members,
    Missing,
    check_outputs,
    explain_missing,
    find_close,
    follow,
    list_doubts,
    names_of,
    show_path,
)
from agent.flow.model import OutputRead, Position
from agent.flow.problems import Severity

HERE = Position("f.yml", 3, 7)


@pytest.mark.parametrize(
    ("expression", "paths"),
    [
        ("", []), ("github", []), ("'github.sha'", []), ("1 == true", []),
        ("github.sha", [("github", "sha")]), ("GitHub['Sha']", [("github", "Sha")]), ("(github).sha", [("github", "sha")]),
        ("a.b['c d'].e", [("a", "b", "c d", "e")]), ("a.b.*.c", [("a", "b")]), ("a.*.c", []), ("a[*].c", []),
        ("a.b[c.d].e", [("c", "d"), ("a", "b")]), ("a[0].b", []), ("a.b[0]", [("a", "b")]),
        ("!(a.b == c.d) && (e.f || g.h)", [("a", "b"), ("c", "d"), ("e", "f"), ("g", "h")]),
        ("fromJSON(a.b).c", [("a", "b")]), ("format('{0}', a.b)", [("a", "b")]),
    ],
)  # fmt: skip
def test_the_paths_of_an_expression_are_what_it_follows_by_name(expression, paths):
    assert sorted(member_paths(parse(expression))) == sorted(paths)


def test_what_every_flow_has_and_what_nobody_can_know_leaves_no_doubt():
    text = "github.sha == runner.os && env.A || secrets.B || vars.C || strategy['Job-Index'] || github.event"
    assert list_doubts(parse(text), VOCABULARY) == ()
    text = "github.shaa || github.shaa || runner.osx || github.event.number || matrix.os"
    assert list_doubts(parse(text), VOCABULARY) == (
        ("github", "shaa"), ("runner", "osx"), ("github", "event", "number"), ("matrix", "os"),
    )  # fmt: skip


KNOWN = Members(
    {
        "Build": Members({"result": None, "outputs": DeclaredElsewhere("./x.yml", is_call=True)}, "no"),
        "open": Members({"a": names_of(["b"], "no b")}, "", is_open=True),
        "loose": Members({"target": None}, "no such key", is_loose=True),
    },
    "nobody has it",
    elsewhere={"LATER": ("it comes later", "wait")},
)


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (("c", "build", "RESULT"), None), (("c", "build", "result", "more"), None), (("c", "tets"), "c.tets"),
        (("c", "build", "results", "x"), "c.build.results"), (("c", "open", "any", "thing"), None),
        (("c", "open", "A", "c"), "c.open.A.c"), (("c", "loose", "arch", "x"), "c.loose.arch"),
    ],
)  # fmt: skip
def test_a_path_leads_nowhere_where_a_name_cannot_be_there(path, shown):
    found = follow(KNOWN, path)
    assert (show_path(found.path) if isinstance(found, Missing) else found) == shown


def test_anything_may_be_behind_what_is_not_known():
    assert follow(None, ("c", "x")) is None


def test_an_output_of_another_file_is_left_to_who_has_the_file():
    assert follow(KNOWN, ("c", "build", "outputs", "sum")) == (
        DeclaredElsewhere("./x.yml", is_call=True),
        "sum",
    )
    assert follow(KNOWN, ("c", "build", "outputs")) is None


def explain(*path, **keywords):
    found = follow(KNOWN, path)
    assert isinstance(found, Missing)
    return explain_missing(found, **keywords)


def test_a_missing_name_is_explained_with_the_nearest_or_with_all_that_there_are():
    assert explain("c", "biuld") == ("`c.biuld` is always empty: nobody has it", "did you mean `c.Build`?")
    assert explain("c", "x")[1] == "known here: Build, open, loose"
    assert explain("c", "later") == ("`c.later` is always empty: it comes later", "wait")
    assert explain("c", "biuld", suggests=False)[1] == ""
    assert explain("c", "open", "a", "it's")[0] == "`c.open.a['it''s']` is always empty: no b"


def test_where_people_ask_for_what_is_not_there_only_a_near_miss_is_a_mistake():
    assert explain("c", "loose", "arch") is None
    assert explain("c", "loose", "taregt", suggests=False) is None
    assert explain("c", "loose", "taregt") == (
        "`c.loose.taregt` is always empty: no such key",
        "did you mean `c.loose.target`?",
    )


def test_a_hint_lists_a_dozen_names_and_compares_no_thousands():
    many = names_of([f"step{number:03}" for number in range(600)], "no")
    found = follow(many, ("steps", "step00x"))
    assert isinstance(found, Missing)
    assert (explain_missing(found) or ("", ""))[1].endswith("step010, step011, ...")
    nothing = follow(names_of([], "none"), ("steps", "x"))
    assert isinstance(nothing, Missing)
    assert explain_missing(nothing) == ("`steps.x` is always empty: none", "")
    assert find_close("a" * 51, ["a" * 51]) == ""
    assert find_close("fail_fast", ["fail-fast"]) == "fail-fast"


def test_a_path_is_shown_as_an_expression_has_it():
    assert show_path(("needs", "a-b", "outputs", "my output", "0")) == "needs.a-b.outputs['my output']['0']"


def test_the_fixed_contexts_know_their_names_whatever_the_case():
    assert VOCABULARY.fixed["github"].has("repositoryurl")
    assert not VOCABULARY.fixed["runner"].has("osx")
    assert VOCABULARY.fixed["strategy"].find("fail-fast") is None


def reading(name, *, is_call=False):
    return OutputRead(HERE, f"steps.s.outputs.{name}", name, "./a", is_call)


def test_an_output_is_missing_where_its_file_declares_all_that_there_can_be():
    reads = [reading("gretting"), reading("GREETING"), reading("x", is_call=True)]
    problems = check_outputs(reads, lambda _: Declared(["greeting"], is_all=True))
    assert [(p.severity, p.position, p.message, p.hint) for p in problems] == [
        (
            Severity.WARNING,
            HERE,
            "`steps.s.outputs.gretting` is always empty: the action './a' declares no such output",
            "did you mean `steps.s.outputs.greeting`?",
        ),
        (
            Severity.WARNING,
            HERE,
            "`steps.s.outputs.x` is always empty: the flow './a' declares no such output",
            "known here: greeting",
        ),
    ]


def test_a_program_may_set_what_it_does_not_declare_so_only_near_misses_count():
    reads = [reading("gretting"), reading("dynamic")]
    (problem,) = check_outputs(reads, lambda _: Declared(["greeting"], is_all=False))
    assert (
        problem.message
        == "`steps.s.outputs.gretting` may be empty: the action './a' does not declare this output"
    )
    assert check_outputs(reads, lambda _: None) == []
