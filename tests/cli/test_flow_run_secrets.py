"""`agent flow run --secret`: what is given as a secret is seen nowhere, whether the flow names it or not."""

import base64
import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from support.lab import Done, run_agent

VALUE = "s3cr&t/value=1"
FORMS = {
    "plain": VALUE,
    "base64": base64.b64encode(VALUE.encode()).decode(),
    "URL": quote(VALUE, safe=""),
    "JSON": json.dumps(f'"{VALUE}')[1:-1],
}
# Written by hand in the flow's folder: the flow does not say `secrets.KEY` anywhere.
FLOW = """
on:
  workflow_dispatch:
    inputs: {x: {default: none}}
run-name: run of ${{ inputs.x }}
jobs:
  a:
    runs-on: x
    strategy: {matrix: {v: ["${{ inputs.x }}", "x${{ inputs.x }}x"]}}
    outputs: {o: "${{ steps.s.outputs.o }}"}
    steps:
      - id: s
        name: say ${{ inputs.x }}
        env: {SEEN: "${{ inputs.x }}"}
        run: |
          cat forms.txt
          cat forms.txt >> "$GITHUB_STEP_SUMMARY"
          echo "o=$(head -n 1 forms.txt)" >> "$GITHUB_OUTPUT"
          echo "::warning title=$(head -n 1 forms.txt)::$(head -n 1 forms.txt)"
          echo "::error::$(head -n 1 forms.txt)"
  b:
    needs: a
    if: fromJSON(inputs.x)
    runs-on: x
    steps: [{run: exit 0}]
"""


def run(folder: Path, *options: str, output: str) -> Done:
    (folder / "flow.yml").write_text(FLOW)
    (folder / "forms.txt").write_text("\n".join(FORMS.values()) + "\n")
    environment = {"AGENT_STATE": str(folder / "state"), "KEY": VALUE}
    words = ("flow", "run", "flow.yml", "--format", output, "--input", f"x={VALUE}", *options)
    return run_agent(*words, cwd=folder, environment=environment)


@pytest.mark.parametrize("output", ["json", "text"])
@pytest.mark.parametrize("given", ["value", "environment", "file"])
def test_a_secret_that_the_flow_does_not_name_is_masked_everywhere(
    tmp_path: Path, given: str, output: str
) -> None:
    (tmp_path / "file").write_text(f"# ours\nKEY='{VALUE}'\n")
    options = {
        "value": ("--secret", f"KEY={VALUE}"),
        "environment": ("--secret", "KEY"),
        "file": ("--secret-file", "file"),
    }
    done = run(tmp_path, *options[given], output=output)
    assert "***" in done.out
    said = done.out + done.err
    assert [name for name, form in FORMS.items() if form in said] == []
    if output == "json":
        jobs = done.records()[-1]["jobs"]
        assert sorted(jobs) == ["a (***)", "a (x***x)", "b"]
        kinds = {record["kind"] for record in done.records()}
        assert {"annotation", "summary", "step", "log", "job", "run"} <= kinds


COLOURED = """
on: push
jobs:
  a:
    runs-on: x
    outputs: {o: "${{ steps.s.outputs.o }}", fine: "${{ steps.s.outputs.fine }}"}
    steps:
      - id: s
        env: {T: "${{ secrets.KEY }}"}
        run: |
          echo "key=$T end" | grep --color=always value
          half="$(printf '\\033[31m%.6s\\033(B\\033[m%s' "$T" "${T#??????}")"
          for place in "$GITHUB_STEP_SUMMARY" /dev/stdout; do echo "$half and $half" >> "$place"; done
          echo "o=$half" >> "$GITHUB_OUTPUT"
          echo "fine=$(printf '\\033[31mfine\\033[m')" >> "$GITHUB_OUTPUT"
          echo "::warning title=$half::$half"
          echo "::group::$half"
          printf '%s\\b%s' "${T%99}" 99
          exit 1
"""


@pytest.mark.parametrize("output", ["json", "text"])
@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}])
def test_a_secret_is_masked_where_a_program_colours_a_part_of_it(
    tmp_path: Path, output: str, environment: dict[str, str]
) -> None:
    secret = "s3cretvalue99"
    (tmp_path / "flow.yml").write_text(COLOURED)
    environment = {**environment, "AGENT_STATE": str(tmp_path / "state")}
    words = ("flow", "run", "flow.yml", "--format", output, "--secret", f"KEY={secret}")
    done = run_agent(*words, cwd=tmp_path, environment=environment)
    said = done.out + done.err
    if output == "json":
        records = done.records()
        assert {"annotation", "summary", "step", "log", "job", "run"} <= {
            record["kind"] for record in records
        }
        assert records[-1]["jobs"]["a"]["outputs"] == {"fine": "\x1b[31mfine\x1b[m"}
        said = json.dumps(records, ensure_ascii=False).replace("\\u001b", "\x1b").replace("\\b", "\b")
    assert "***" in said
    assert secret not in re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\x1b\(B|[\b\r]", "", said)


def test_a_secret_that_is_masked_is_still_not_the_jobs(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yml"
    flow.write_text(
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n"
        "      - run: 'echo got ${{ secrets.NAMED }}; env | grep -c hidden-value || true'\n"
        "      - run: test -z '${{ github.token }}'\n"
    )
    secrets = ("--secret", "NAMED=shown", "--secret", "ACTIONS_RUNTIME_TOKEN=hidden-value")
    environment = {"AGENT_STATE": str(tmp_path / "state")}
    done = run_agent("flow", "run", flow, *secrets, cwd=tmp_path, environment=environment)
    assert done.code == 0, done.out
    assert "  got ***\n  0\n" in done.out


def test_words_of_ours_are_words_of_ours_even_where_a_secret_is_the_same(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yml"
    flow.write_text("on: push\njobs:\n  a:\n    runs-on: x\n    steps: [{run: 'echo a success'}]\n")
    secrets = ("--secret", "A=run", "--secret", "B=success", "--secret", "C=a")
    environment = {"AGENT_STATE": str(tmp_path / "state")}
    for output in ("json", "text"):
        words = ("flow", "run", flow, "--format", output, *secrets)
        done = run_agent(*words, cwd=tmp_path, environment=environment)
        assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1].startswith("✓ run success")
