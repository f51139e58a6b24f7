"""An action that is a stage counts wherever those of steps do: in locks, in what is served, in what is looked at before a run."""

from pathlib import Path

import pytest
from support.lab import run_agent

from agent.cli.local_files.code import reads_repository
from agent.cli.local_files.uses import list_lines
from agent.flow.load import load_flow
from agent.flow.model import Flow
from agent.ids import JobId, RunId
from agent.plan.compile import lower_stages
from agent.spec.job import JobSpec
from agent.spec.stages import StagesWork

COMPOSITE = """\
name: Audit
runs:
  using: composite
  steps: [{run: "echo ${{ inputs.nothing }}", shell: bash}]
"""


def flow_with(action: str, config: str = "{}") -> Flow:
    text = f"name: f\nstages:\n- {{name: a, action: manual, out: b}}\n- {{name: b, action: '{action}', config: {config}}}\n"
    return load_flow(text, "f.yml").flow


def test_a_lock_has_it_with_its_place() -> None:
    assert list_lines([("", flow_with("acme/audit@v1"))]) == [("acme/audit@v1", "f.yml:4:3")]


@pytest.mark.parametrize(
    ("action", "config", "reads"),
    [
        ("acme/audit@v1", "{}", True),
        ("./audit", "{}", True),
        ("flow-agent/checkout@v1", "{}", False),
        ("docker://image", "{}", False),
        ("noop", "{}", False),
        ("run", "{run: cat}", False),
        ("run", "{run: 'curl $GITHUB_SERVER_URL'}", True),
    ],
)
def test_the_code_is_served_where_a_stage_may_read_it(action: str, config: str, reads: bool) -> None:
    assert reads_repository(flow_with(action, config)) is reads


def test_a_job_tells_the_actions_of_its_stages() -> None:
    stages = flow_with("acme/audit@v1").jobs["stages"].stages
    spec = JobSpec(RunId(1), JobId("j"), "stages", "f", StagesWork(lower_stages(stages), "f"))
    assert spec.list_uses() == ("acme/audit@v1",)


def test_what_is_odd_in_an_action_of_the_same_repository_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "action.yml").write_text(COMPOSITE)
    file = tmp_path / "f.yml"
    file.write_text(
        "name: f\nstages: [{name: a, action: manual, out: b}, {name: b, action: ./audit}]\n", "utf-8"
    )
    done = run_agent("flow", "validate", file)
    assert done.code == 0, done.err
    assert "nothing" in done.out
    assert "audit/action.yml" in done.out
