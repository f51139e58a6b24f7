"""Credentials in URLs are shown nowhere: not in errors, not in problems, not in settings, not under a caret."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.flows import check_flow

from agent.cli.main import run_command
from agent.errors import AgentError, UnreachableError
from agent.flow.model import Position
from agent.flow.problems import Problem
from agent.redaction import redact

FLOW = """on: push
jobs:
  one:
    runs-on: self-hosted
    steps:
      - uses: https://me:hunter2@git.lab/o/r@v1
      - uses: https://hunter2@git.lab/o/r@v1
      - uses: http://me:hunter2@git.lab/o/r@v1
      - run: echo https://me:hunter2@git.lab ${{ nope
  two:
    uses: https://me:hunter2@git.lab/o/r/.github/workflows/x.yml@v1
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ssh://git@h/a and https://h/a@v1", "ssh://git@h/a and https://h/a@v1"),
        ("fatal: https://me:pw@h/a.git/ not found", "fatal: https://***@h/a.git/ not found"),
        ("ssh://me:pw@h/a", "ssh://***@h/a"),
        ("postgresql+asyncpg://u:p@h/db?sslmode=require", "postgresql+asyncpg://***@h/db?sslmode=require"),
        ("postgresql://h/db?user=u&password=p&sslmode=x", "postgresql://h/db?user=u&password=***&sslmode=x"),
        ("https://h/x?sig=abc#part", "https://h/x?sig=***#part"),
        ("https://h/x?X-Amz-Security-Token=abc&a=b", "https://h/x?X-Amz-Security-Token=***&a=b"),
        ("https://h/x?keyword=abc&monkey=x", "https://h/x?keyword=abc&monkey=x"),
        ("me:pw@h is no URL, nor is a?token=b", "me:pw@h is no URL, nor is a?token=b"),
    ],
)
def test_credentials_go_and_all_else_stays(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_no_error_shows_them() -> None:
    error: AgentError = UnreachableError(
        "https://a:pw@h says no", where="https://a:pw@h", hint="https://a:pw@h"
    )
    assert "pw" not in f"{error}{error.what}{error.where}{error.hint}{error.args}"


def test_no_problem_shows_them() -> None:
    problem = Problem(Position("f.yml", 1, 1), "https://a:pw@h is none", "not https://a:pw@h")
    assert "pw" not in f"{problem}{problem!r}"


def test_a_flow_that_holds_them_is_invalid_and_they_are_not_shown() -> None:
    problems = check_flow(FLOW, "f.yml")
    assert [problem.position.line for problem in problems if "credentials" in problem.message] == [
        6,
        7,
        8,
        11,
    ]
    assert not any("hunter2" in str(problem) for problem in problems)


@pytest.mark.parametrize("command", ["flow validate", "flow show", "flow run", "action lock"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_command_shows_them(tmp_path: Path, command: str, form: str) -> None:
    file = tmp_path / "f.yml"
    file.write_text(FLOW)
    words = [sys.executable, "-P", "-m", "agent", *command.split(), str(file), "--format", form]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2)
    assert "credentials" in done.stdout + done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_doctor_shows_settings_without_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENT_ACTIONS_URL", "https://me:hunter2@git.lab/{owner}/{repo}")
    monkeypatch.setenv("AGENT_DATABASE_URL", "postgresql://flows@db/flows?password=hunter2")
    run_command(["doctor", "--format", "json"])
    said = capsys.readouterr()
    assert "hunter2" not in said.out + said.err
    shown = {row["key"]: row["value"] for row in json.loads(said.out)["settings"]}
    assert shown["actions_url"] == "https://***@git.lab/{owner}/{repo}"
