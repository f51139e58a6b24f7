"""Filters of `on`: GitHub's patterns, their order, and which events start a flow."""

import re

import hypothesis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.flow.filters import Happening, compile_pattern, explain_pattern, matches, matches_patterns
from agent.flow.model import Position, Trigger

HERE = Position("f.yml", 1, 1)


def starts(event, filters, **facts):
    return matches(Trigger(event, HERE, filters=filters), Happening(event, **facts))


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("feature/*", ["feature/a", "feature/"], ["feature/a/b", "feature"]),
        ("feature/**", ["feature/a", "feature/a/b"], ["feat"]),
        ("*", ["main"], ["a/b"]),
        ("**", ["main", "a/b"], []),
        ("*feature", ["my-feature", "feature"], ["a/feature"]),
        ("v2*", ["v2", "v2.0"], ["v1"]),
        ("v[12].[0-9]+.[0-9]+", ["v1.10.1", "v2.0.0"], ["v3.1.1", "v1.x.1"]),
        ("*.jsx?", ["page.js", "page.jsx"], ["page.jsxx", "a/page.js"]),
        ("**.js", ["index.js", "src/js/app.js"], ["x.ts"]),
        (
            "docs/**/*.md",
            ["docs/README.md", "docs/a/b.md", "docs/a/markdown/file.md"],
            ["docs/a.txt", "docsx/b.md"],
        ),
        (
            "**/docs/**",
            ["docs/a", "dir/docs/my-file.txt", "space/docs/plan/space.doc"],
            ["documents/a", "apidocs/x.md"],
        ),
        ("**/README.md", ["README.md", "js/README.md"], ["README.txt", "xREADME.md", "js/xREADME.md"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "a/x/yb", "ab"]),
        ("**/**/x", ["x", "a/x", "a/b/x"], ["ax", "a/bx"]),
        ("mona/octocat", ["mona/octocat"], ["mona/octocat2"]),
        ("releases/mona-the-cat", ["releases/mona-the-cat"], []),
        ("docs/*", ["docs/README.md", "docs/file.txt"], ["docs/a/b"]),
        ("docs/**", ["docs/README.md", "docs/mona/octocat.txt"], ["README.md"]),
        ("*.js", ["app.js", "index.js"], ["js/index.js"]),
        (
            "**/migrate-*.sql",
            ["migrate-10909.sql", "db/migrate-v1.0.sql", "db/sept/migrate-v1.sql"],
            ["db/xmigrate-1.sql"],
        ),
        ("**/*src/**", ["a/src/app.js", "my-src/code/js/app.js"], ["source/x"]),
        ("**/*-post.md", ["my-post.md", "path/their-post.md"], ["post.md"]),
        ("[CDF]at", ["Cat", "Dat"], ["Bat", "at"]),
        ("a\\*b", ["a*b"], ["axb"]),
        ("a.b", ["a.b"], ["axb"]),
        ("1+", ["1", "11"], ["", "2"]),
        ("[z-a]x", ["zx", "-x"], ["bx"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("a[", ["a["], ["a"]),
        ("ab?+", ["a", "ab", "abb"], ["b"]),
        ("ab??", ["a", "ab"], ["abb"]),
        ("a*?", ["a", "abc"], ["a/b"]),
        ("?a", ["?a"], ["a"]),
        ("[a-c&&]x", ["ax", "&x"], ["dx"]),
        ("x**/y", ["x/y", "xa/y"], ["xay", "xy"]),
        ("**/?x", ["x", "a/x", "ax"], ["ay"]),
    ],
)
def test_a_pattern_fits_what_github_says(pattern, fits, fits_not):
    compiled = compile_pattern(pattern)
    assert [text for text in fits if not compiled.fullmatch(text)] == []
    assert [text for text in fits_not if compiled.fullmatch(text)] == []


def slow_pattern(pattern: str) -> str:
    """A pattern as a regular expression, said part by part: slow on some, and plain."""
    made, at = "", 0
    while at < len(pattern):
        rest = pattern[at:]
        if rest.startswith("**/") and (at == 0 or pattern[at - 1] == "/"):
            made, at = made + "(?:.+/)?", at + 3
        elif rest.startswith("**"):
            made, at = made + ".*", at + 2
        elif rest[0] == "*":
            made, at = made + "[^/]*", at + 1
        else:
            made, at = made + re.escape(rest[0]), at + 1
            if at < len(pattern) and pattern[at] in "?+":
                made, at = made + pattern[at], at + 1
    return made


@settings(max_examples=2000, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "ab", "a?", "b+", ".md", "/", "/", "*", "**", "**/", "/**/", "/**"]), min_size=1, max_size=6),
    st.lists(st.sampled_from(["a", "b", "ab", "/", ".md", "x"]), max_size=7),
)  # fmt: skip
def test_patterns_agree_with_a_slow_and_plain_matcher(parts, texts):
    pattern, text = "".join(parts), "".join(texts)
    hypothesis.assume("***" not in pattern)
    assert compile_pattern(pattern).fullmatch(text) == bool(re.fullmatch(slow_pattern(pattern), text))


def test_a_pattern_that_would_keep_a_regular_expression_busy_is_answered_at_once():
    assert not compile_pattern("**a" * 30 + "b").fullmatch("a" * 200)
    assert not compile_pattern("a?" * 200 + "b").fullmatch("a" * 200)


def test_later_patterns_win():
    patterns = ["sub/**", "!sub/docs/**", "sub/docs/keep.md"]
    assert matches_patterns(patterns, "sub/a")
    assert not matches_patterns(patterns, "sub/docs/a")
    assert matches_patterns(patterns, "sub/docs/keep.md")
    assert not matches_patterns(["!sub/**"], "other")


@pytest.mark.parametrize(
    ("filters", "ref", "does_start"),
    [
        ({}, "refs/heads/x", True),
        ({}, "refs/tags/x", True),
        ({"branches": ("main",)}, "refs/heads/main", True),
        ({"branches": ("main",)}, "refs/heads/dev", False),
        ({"branches": ("main",)}, "refs/tags/main", False),
        ({"branches": ("main",)}, "main", True),
        ({"tags": ("v*",)}, "refs/tags/v1", True),
        ({"tags": ("v*",)}, "refs/heads/v1", False),
        ({"tags-ignore": ("v*",)}, "refs/tags/v1", False),
        ({"tags-ignore": ("v*",)}, "refs/tags/x", True),
        ({"branches-ignore": ("wip/**",)}, "refs/heads/wip/a/b", False),
        ({"branches-ignore": ("wip/**",)}, "refs/heads/main", True),
        ({"branches": ("main",), "tags": ("v*",)}, "refs/tags/v1", True),
        ({"branches": ("releases/**", "!releases/**-alpha")}, "refs/heads/releases/1-alpha", False),
    ],
)
def test_refs_are_filtered_by_their_kind(filters, ref, does_start):
    assert starts("push", filters, ref=ref) is does_start


@pytest.mark.parametrize(
    ("filters", "paths", "does_start"),
    [
        ({"paths": ("**.js",)}, ["a.md", "b.js"], True),
        ({"paths": ("**.js",)}, ["a.md"], False),
        ({"paths": ("**.js",)}, None, True),
        ({"paths-ignore": ("docs/**",)}, ["docs/a", "b"], True),
        ({"paths-ignore": ("docs/**",)}, ["docs/a"], False),
        ({"paths": ("src/**", "!src/docs/**")}, ["src/docs/a"], False),
        ({"branches": ("main",), "paths": ("x",)}, ["x"], True),
        ({"branches": ("dev",), "paths": ("x",)}, ["x"], False),
    ],
)
def test_paths_and_branches_must_both_agree(filters, paths, does_start):
    assert starts("push", filters, ref="refs/heads/main", paths=paths) is does_start


def test_paths_do_not_count_for_tags():
    assert starts("push", {"paths": ("**.js",)}, ref="refs/tags/v1", paths=["a.md"])


@pytest.mark.parametrize(
    ("event", "types", "action", "does_start"),
    [
        ("pull_request", None, "opened", True),
        ("pull_request", None, "labeled", False),
        ("pull_request", ("labeled",), "labeled", True),
        ("pull_request", ("labeled",), "opened", False),
        ("issues", None, "labeled", True),
        ("issues", None, "", True),
        ("repository_dispatch", ("go",), "stop", False),
        ("repository_dispatch", None, "anything", True),
        ("check_suite", None, "completed", True),
        ("check_suite", None, "requested", False),  # a host tells of it, and no flow starts
        ("merge_group", None, "checks_requested", True),
        ("merge_group", None, "destroyed", False),
        ("deployment_status", None, "created", True),  # it has an activity and no types
        ("push", None, "created", True),
    ],
)
def test_activity_types_count_as_named_or_by_default(event, types, action, does_start):
    assert starts(event, {"types": types} if types else {}, action=action) is does_start


def test_other_events_names_and_workflows_do_not_start():
    assert not matches(Trigger("push", HERE), Happening("pull_request"))
    assert starts("workflow_run", {"workflows": ("CI",)}, workflow="CI")
    assert not starts("workflow_run", {"workflows": ("CI",)}, workflow="Docs")
    assert starts("image_version", {"names": ("a*",), "versions": ("1.*",)}, names=["ab"], versions=["1.2"])
    assert not starts("image_version", {"names": ("a*",)}, names=["b"])


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [("", "empty"), ("!", "empty"), ("?a", "begins with `?`"), ("+a", "begins with `+`"), ("a[b", "never closed"), ("a[b]", ""), ("\\[", "")],
)  # fmt: skip
def test_what_is_wrong_with_a_pattern_is_said(pattern, complaint):
    assert complaint in explain_pattern(pattern)
    assert bool(explain_pattern(pattern)) is bool(complaint)


@given(st.text(alphabet="ab*?+[]!\\/-^.", max_size=12), st.text(alphabet="ab/", max_size=8))
def test_any_pattern_can_be_asked(pattern, text):
    assert matches_patterns([pattern], text) in {True, False}
