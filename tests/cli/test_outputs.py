"""Names that a flow reads and that are not there, with the real command: what validate, run and submit say."""

import io
import json
from pathlib import Path

import pytest
from support.lab import run_agent

from agent.cli.flow.language import run_validate

GREET = """\
name: greet
outputs: {greeting: {value: "${{ steps.g.outputs.greeting }}"}}
runs:
  using: composite
  steps: [{id: g, shell: bash, run: 'echo greeting=hello >> "$GITHUB_OUTPUT"'}]
"""
PROGRAM = "name: p\noutputs: {artifact-url: {description: where}}\nruns: {using: node20, main: a.js}\n"
CALLED = "on: {workflow_call: {outputs: {sum: {value: '1'}}}}\njobs: {a: {runs-on: self-hosted, steps: [{run: a}]}}\n"


def write_project(folder: Path, reads: str) -> Path:
    """A flow with a call and steps with actions of each kind, whose last step reads `reads`."""
    for name, text in {
        "greet/action.yml": GREET,
        "program/action.yml": PROGRAM,
        "called.yml": CALLED,
        "main.yml": (
            "on: push\njobs:\n  c: {uses: ./called.yml}\n  d:\n    needs: c\n    runs-on: self-hosted\n    steps:\n"
            "      - {id: greet, uses: ./greet}\n      - {id: own, uses: $/greet}\n      - {id: program, uses: ./program}\n"
            "      - {id: checkout, uses: flow-agent/checkout@v1}\n      - {id: cache, uses: actions/cache@v4}\n"
            "      - {id: none, uses: ./none}\n      - {id: broken, uses: ./called.yml}\n      - {id: script, run: a}\n"
            f'      - run: "${{{{ {reads} }}}}"\n'
        ),
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder / "main.yml"


def validate(file: Path) -> list[dict[str, object]]:
    out = io.StringIO()
    assert run_validate([file], None, "json", out) == 0
    problems: list[dict[str, object]] = json.loads(out.getvalue())
    return problems


def test_outputs_of_what_is_at_hand_are_known_and_of_all_else_anything_goes(tmp_path: Path) -> None:
    good = [
        "steps.greet.outputs.greeting", "steps.own.outputs.GREETING", "steps.program.outputs.artifact-url",
        "steps.program.outputs.dynamic", "steps.checkout.outputs.commit", "steps.cache.outputs.any",
        "steps.none.outputs.any", "steps.broken.outputs.any", "steps.script.outputs.any", "needs.c.outputs.sum",
    ]  # fmt: skip
    assert validate(write_project(tmp_path, " || ".join(good))) == []
    bad = [
        "steps.greet.outputs.gretting", "steps.own.outputs.nope", "steps.program.outputs.artifact-ulr",
        "steps.checkout.outputs.nope", "needs.c.outputs.nope",
    ]  # fmt: skip
    found = validate(write_project(tmp_path, " || ".join(bad)))
    assert [str(problem["message"]).split("`")[1] for problem in found] == bad
    assert found[0] == {
        "file": str(tmp_path / "main.yml"), "line": 16, "column": 14, "severity": "warning",
        "message": "`steps.greet.outputs.gretting` is always empty: the action './greet' declares no such output",
        "hint": "did you mean `steps.greet.outputs.greeting`?",
    }  # fmt: skip


def test_problems_of_a_file_come_in_its_order_whoever_found_them(tmp_path: Path) -> None:
    file = write_project(tmp_path, "steps.greet.outputs.nope")
    file.write_text(file.read_text() + "      - run: ${{ github.shaa }}\n")
    assert [problem["line"] for problem in validate(file)] == [16, 17]


def test_an_action_of_the_repository_is_looked_at_once_however_often_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write_project(tmp_path, "steps.greet.outcome")
    (tmp_path / "greet" / "action.yml").write_text(GREET.replace("echo greeting", "echo ${{ inputs.who }}"))
    out = io.StringIO()
    assert run_validate([file, file], None, "text", out) == 0
    assert out.getvalue() == (
        "greet/action.yml:5:37: warning: `inputs.who` is always empty: the action declares no such input\n"
    )
    done = run_agent(
        "action", "info", "./greet", cwd=tmp_path, environment={"AGENT_STATE": str(tmp_path / "s")}
    )
    assert done.code == 0
    assert "greet/action.yml:5:37: warning: `inputs.who` is always empty" in done.err


def test_a_run_says_what_is_not_there_and_runs(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "greet").mkdir(parents=True)
    (project / "greet" / "action.yml").write_text(GREET)
    flow = project / "main.yml"
    flow.write_text(
        "on: push\njobs:\n  a:\n    runs-on: self-hosted\n    steps:\n      - {id: greet, uses: ./greet}\n"
        "      - run: echo '[${{ github.shaa }}${{ steps.greet.outputs.gretting }}]'\n"
    )
    state = {"AGENT_STATE": str(tmp_path / "state"), "TMPDIR": str(tmp_path)}
    done = run_agent("flow", "run", flow, cwd=project, environment=state)
    assert done.code == 0
    assert "[]" in done.out
    place = f"{flow}:7:14: warning: "
    assert (
        f"{place}`github.shaa` is always empty: the context `github` has no such member; did you mean `github.sha`?"
        in done.err
    )
    assert f"{place}`steps.greet.outputs.gretting` is always empty" in done.err
