"""Problem matchers find what compilers say, and no pattern holds a job up."""

import json
from pathlib import Path

import pytest
from support.jobs import JobReport, run_job, script

GCC = {
    "owner": "gcc",
    "pattern": [
        {
            "regexp": "^(.+):(\\d+):(\\d+): (?<what>warning|error): (.*)$",
            "file": 1,
            "line": 2,
            "column": 3,
            "severity": 4,
            "message": 5,
        }
    ],
}
ESLINT = {
    "owner": "eslint",
    "severity": "warning",
    "pattern": [
        {"regexp": "^(\\S.*\\.js)$", "file": 1},
        {"regexp": "^\\s+(\\d+):(\\d+)\\s+(.*)$", "line": 1, "column": 2, "message": 3, "loop": True},
    ],
}


def run_with(tmp_path: Path, matchers: list[object], text: str, **options: object) -> JobReport:
    workspace = tmp_path / "ws"
    (workspace / "src").mkdir(parents=True)
    (workspace / "src" / "a.c").touch()
    (workspace / "b.js").touch()
    (workspace / "m.json").write_text(json.dumps({"problemMatcher": matchers}))
    return run_job(
        tmp_path,
        script("adds", "echo ::add-matcher::m.json"),
        script("compiles", text),
        settings={"workspace": workspace},
        **options,
    )


def test_a_line_that_matches_becomes_an_annotation_and_is_marked(tmp_path: Path) -> None:
    report = run_with(
        tmp_path,
        [GCC],
        "printf '\\033[1msrc/a.c:3:7: error: bad\\033[0m\\n'; echo fine; echo gone.c:1:2: warning: odd; printf 'src/a.c:9:1: error: last'",
    )
    bad, odd, last = report.annotations()
    assert (bad.level, bad.message, bad.file, bad.line, bad.column) == ("error", "bad", "src/a.c", 3, 7)
    assert (odd.level, odd.message, odd.file) == ("warning", "odd", "")
    assert last.message == "last"
    assert report.output_of("compiles") == [
        "##[error]src/a.c:3:7: error: bad",
        "fine",
        "##[warning]gone.c:1:2: warning: odd",
        "##[error]src/a.c:9:1: error: last",
    ]


def test_the_last_of_several_patterns_may_loop(tmp_path: Path) -> None:
    report = run_with(
        tmp_path,
        [ESLINT],
        "echo b.js; echo '  1:2  first'; echo '  3:4  second'; echo; echo '  5:6  stray'",
    )
    assert [(item.file, item.line, item.message) for item in report.annotations()] == [
        ("b.js", 1, "first"),
        ("b.js", 3, "second"),
    ]
    assert report.output_of("compiles")[-1] == "  5:6  stray"


def test_a_matcher_can_be_taken_out_by_its_owner_or_its_file(tmp_path: Path) -> None:
    line = "echo src/a.c:1:1: error: x"
    report = run_with(
        tmp_path,
        [GCC],
        f"echo '::remove-matcher owner=GCC::'; {line}; echo ::add-matcher::m.json; {line}; echo ::remove-matcher::m.json; {line}",
    )
    assert len(report.annotations()) == 1


def test_a_pattern_without_end_takes_its_matcher_out_and_the_job_goes_on(tmp_path: Path) -> None:
    evil = {"owner": "evil", "pattern": [{"regexp": "^(a+)+(b|)$x", "message": 1}]}
    report = run_with(tmp_path, [GCC, evil], f"echo {'a' * 60}; echo src/a.c:1:1: error: still")
    assert [item.message for item in report.annotations()] == [
        "Removing issue matcher 'evil': a pattern takes too long",
        "still",
    ]


@pytest.mark.parametrize(
    ("matcher", "message"),
    [
        ({"pattern": []}, "Property 'owner' must not be empty"),
        ({"owner": "x"}, "Matcher 'x' does not contain any patterns"),
        ({"owner": "x", "pattern": [{"regexp": "(", "message": 1}]}, "is no regular expression"),
        ({"owner": "x", "severity": "fatal", "pattern": [{"regexp": "x"}]}, "Property 'severity'"),
        ({"owner": "x", "pattern": [{"regexp": "(x)", "file": 1}]}, "must find the message"),
        ({"owner": "x", "pattern": [{"regexp": "(x)", "message": 1, "loop": True}]}, "may loop"),
    ],
)
def test_matchers_that_make_no_sense_fail_the_step_that_adds_them(
    tmp_path: Path, matcher: object, message: str
) -> None:
    report = run_with(tmp_path, [matcher], "true")
    assert report.own_steps()["adds"] == "failure"
    assert message in report.log("adds")


def test_a_file_of_matchers_that_is_none_is_named(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("adds", "echo ::add-matcher::gone.json"))
    assert "the file of matchers cannot be read" in report.log("adds")
    report = run_job(tmp_path, script("adds", "mkfifo m; echo ::add-matcher::m"))
    assert "not a file of matchers" in report.log("adds")
