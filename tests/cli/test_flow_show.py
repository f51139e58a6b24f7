"""`agent flow show`: the plan as far as the file decides it."""

import json
from pathlib import Path

from support.lab import run_agent

FLOW = """
name: Plan
on: [push, workflow_dispatch]
jobs:
  prepare: {runs-on: cpu, steps: [{run: x}]}
  train:
    needs: prepare
    runs-on: ["self-hosted", "${{ matrix.gpu }}"]
    strategy: {matrix: {gpu: [a100, h100]}}
    steps: [{id: s, uses: acme/train@v1}]
  later:
    needs: train
    runs-on: "${{ vars.LABEL }}"
    strategy: {matrix: "${{ fromJSON(needs.train.outputs.m) }}"}
    steps: [{run: x}]
"""


def show(tmp_path: Path, output_format: str) -> str:
    file = tmp_path / "flow.yml"
    file.write_text(FLOW)
    done = run_agent("flow", "show", file, "--format", output_format)
    assert done.code == 0, done.err
    return done.out


def test_json_has_a_job_for_each_matrix_cell_with_its_needs_and_labels(tmp_path: Path) -> None:
    plan = json.loads(show(tmp_path, "json"))
    assert (plan["name"], plan["dialect"], plan["on"]) == ("Plan", "github", ["push", "workflow_dispatch"])
    jobs = {job["key"]: job for job in plan["jobs"]}
    assert list(jobs) == ["prepare", "train (a100)", "train (h100)", "later (…)"]
    assert jobs["train (h100)"]["runs_on"] == ["self-hosted", "h100"]
    assert jobs["train (h100)"]["needs"] == ["prepare"]
    assert jobs["train (h100)"]["matrix"] == {"gpu": "h100"}
    assert jobs["train (h100)"]["steps"] == [
        {"id": "s", "kind": "uses", "name": None, "uses": "acme/train@v1"}
    ]
    assert jobs["later (…)"]["runs_on"] == ["${{ vars.LABEL }}"], (
        "what only a run can decide is shown as written"
    )


def test_mermaid_draws_the_needs(tmp_path: Path) -> None:
    lines = show(tmp_path, "mermaid").splitlines()
    assert lines[0] == "graph LR"
    assert '  job1["train (a100)"]' in lines
    assert "  job0 --> job2" in lines
    assert "  job2 --> job3" in lines


def test_text_is_a_table(tmp_path: Path) -> None:
    assert "train (a100)  prepare  self-hosted, a100  1" in show(tmp_path, "text")


def test_an_invalid_flow_has_no_plan(tmp_path: Path) -> None:
    file = tmp_path / "flow.yml"
    file.write_text("on: push\njobs: {}\n")
    done = run_agent("flow", "show", file)
    assert (done.code, done.out) == (2, "")
    assert "flow.yml:2:" in done.err


def test_a_machine_type_of_gradient_is_shown_as_it_is_written(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    flow.write_text(
        "defaults: {clusterId: cl123}\njobs:\n"
        "  train:\n    uses: script@v1\n    with: {image: x, script: y}\n    resources: {instance-type: P4000}\n"
        "  test: {uses: script@v1, with: {image: x, script: y}, needs: [train]}\n"
    )
    shown = run_agent("flow", "show", flow, "--dialect", "gradient", "--format", "json").json()
    assert [job["runs_on"] for job in shown["jobs"]] == [["P4000", "cl123"], ["cl123"]]
    text = run_agent("flow", "show", flow, "--dialect", "gradient").out
    assert "P4000, cl123" in text
    assert "fromJSON" not in text
