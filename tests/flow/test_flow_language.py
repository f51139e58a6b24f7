"""`agent flow validate` and `schema`: what a person sees, what a program reads, what is said by the exit code."""

import io
import json
import sys
from pathlib import Path

from agent.cli.flow.language import run_document, run_schema, run_validate

GOOD = "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo\n"
BAD = "on: push\njobs:\n  a:\n    run-on: x\n    steps:\n      - run: echo\n"


def validate(*files, dialect=None, output_format="text"):
    out = io.StringIO()
    code = run_validate([Path(file) for file in files], dialect, output_format, out)
    return code, out.getvalue()


def test_good_flows_are_said_to_be_valid(tmp_path):
    (tmp_path / "a.yml").write_text(GOOD)
    assert validate(tmp_path / "a.yml") == (0, "1 flow is valid\n")
    assert validate(tmp_path / "a.yml", tmp_path / "a.yml") == (0, "2 flows are valid\n")
    assert validate(tmp_path / "a.yml", output_format="json") == (0, "[]\n")


def test_a_problem_is_shown_with_its_line_a_caret_and_a_hint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yml").write_text(BAD)
    code, text = validate("a.yml")
    assert code == 1
    assert text == (
        "a.yml:4:5: Unexpected value 'run-on'\n"
        "        run-on: x\n"
        "        ^\n"
        "    hint: did you mean `runs-on`?\n"
        "a.yml:4:5: Required property is missing: runs-on\n"
        "        run-on: x\n"
        "        ^\n"
    )


def test_problems_as_json_have_all_their_parts(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text(BAD)
    code, text = validate(path, output_format="json")
    assert code == 1
    assert json.loads(text)[0] == {
        "file": str(path), "line": 4, "column": 5, "severity": "error",
        "message": "Unexpected value 'run-on'", "hint": "did you mean `runs-on`?",
    }  # fmt: skip


def test_a_warning_is_shown_but_does_not_fail(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text(GOOD.replace("    runs-on", "    if: ${{ false }} x\n    runs-on"))
    code, text = validate(path)
    assert code == 0
    assert ":4:9: warning: the condition is text" in text


def test_a_dialect_can_be_named(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text("stages: []\n")
    assert "Required property is missing: name" in validate(path)[1]
    assert "there is no dialect 'nobodys'" in validate(path, dialect="nobodys")[1]
    assert "Unexpected value 'stages'" in validate(path, dialect="github")[1]


def test_files_that_cannot_be_read_are_problems_and_the_others_are_still_checked(tmp_path):
    (tmp_path / "latin.yml").write_bytes(b"on: push\nname: caf\xe9\n")
    (tmp_path / "bad.yml").write_text(BAD)
    code, text = validate(tmp_path, tmp_path / "nothing.yml", tmp_path / "latin.yml", tmp_path / "bad.yml")
    assert code == 1
    assert f"{tmp_path}:1:1: this is a folder" in text
    assert "nothing.yml:1:1: the file cannot be read: No such file or directory" in text
    assert "latin.yml:2:10: the file is not UTF-8 text" in text
    assert "bad.yml:4:5" in text


def test_a_hyphen_reads_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BAD.encode())))
    assert "stdin:4:5: Unexpected value 'run-on'" in validate("-")[1]


def test_what_is_shown_cannot_steer_a_terminal(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text('on: push\n"\\e[31m\\nx": 1\njobs: {}\n')
    assert "\x1b" not in validate(path)[1]


def test_a_long_line_is_cut_around_the_place(tmp_path):
    path = tmp_path / "a.yml"
    path.write_text("on: push\nenv: {" + "a: b, " * 200 + "}\njobs: {}\n")
    lines = validate(path)[1].splitlines()
    shown = [line for line in lines if not line.startswith(str(path))]  # a place is as long as its path
    assert max(map(len, shown)) < 140
    assert lines[1][lines[2].index("^")] == "a"


def test_a_place_behind_the_last_line_has_no_caret(tmp_path):
    path = tmp_path / "a.yml"
    path.write_bytes(b"on: [push\r\n")
    code, text = validate(path)
    assert code == 1
    assert "\r" not in text


def test_the_schema_is_json_and_the_page_is_markdown():
    out = io.StringIO()
    assert run_schema(out) == 0
    assert json.loads(out.getvalue())["$schema"].endswith("2020-12/schema")
    page = io.StringIO()
    assert run_document(page) == 0
    assert page.getvalue().startswith("# The flow language")
