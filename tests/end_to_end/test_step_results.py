"""Results of cached actions through a real server: jobs of other runs and agents find them, strangers' do not."""

from pathlib import Path

import pytest
from support.git import make_repository
from support.lab import Lab

ADD = """
name: Add
cache: true
inputs: {a: {default: '1'}}
outputs: {sum: {value: '${{ steps.add.outputs.sum }}'}}
runs:
  using: composite
  steps:
    - id: add
      shell: bash
      run: |
        echo run >> "COUNT"
        echo "sum=$((${{ inputs.a }} + 2))" >> "$GITHUB_OUTPUT"
"""
FLOW = """
  add:
    runs-on: LABEL
    outputs: {sum: "${{ steps.add.outputs.sum }}"}
    steps: [{id: add, name: Add it up, uses: acme/add@v1, with: {a: '3'}}]
"""


@pytest.fixture
def count(lab: Lab) -> Path:
    file = lab.folder / "count"
    lab.environment["AGENT_ACTIONS_URL"] = f"file://{lab.folder}/git/{{owner}}/{{repo}}"
    make_repository(lab.folder / "git" / "acme" / "add", {"action.yml": ADD.replace("COUNT", str(file))})
    return file


def run_flow(lab: Lab, label: str) -> int:
    run = lab.submit(lab.write_flow(FLOW.replace("LABEL", label), "add"))
    view = lab.wait_for_run(run)
    assert (view["conclusion"], view["jobs"][0]["outputs"]) == ("success", {"sum": "5"}), view
    return run


def test_a_later_run_on_another_agent_finds_what_an_equal_step_gave(lab: Lab, count: Path) -> None:
    for name in ("one", "two"):
        lab.add_agent(name, "--labels", name)
    first = run_flow(lab, "one")
    assert count.read_text() == "run\n"
    lab.kill("server")
    lab.start_server()
    second = run_flow(lab, "two")
    assert count.read_text() == "run\n"
    assert f"Found: outputs of run {first}, step Add it up; the action does not run" in lab.lines(
        second, "add"
    )
