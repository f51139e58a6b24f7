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


STAGES = """
name: Orders of a day
stages:
  - {name: in, action: webhook, config: {path: /orders}, out: [only big, audit, both]}
  - {name: every hour, action: cron, config: {schedule: "0 * * * *"}, out: [both]}
  - {name: only big, action: filter, config: {field: size, match: small}, out: [shape, count]}
  - {name: both, action: zip, out: [send]}
  - {name: count, action: run, config: {run: wc -l}}
  - {name: shape, action: field_map, config: {take: [id, total]}, out: [send]}
  - {name: audit, action: acme/audit@v1, out: [send]}
  - {name: send, action: webhook, config: {url: "http://127.0.0.1:9/x"}}
"""


def show_stages(tmp_path: Path, output_format: str) -> str:
    file = tmp_path / "stages.yml"
    file.write_text(STAGES)
    done = run_agent("flow", "show", file, "--format", output_format)
    assert done.code == 0, done.err
    return done.out


def test_stages_are_a_graph_in_lanes_in_which_records_go_down(tmp_path: Path) -> None:
    assert (
        show_stages(tmp_path, "text")
        == """\
Orders of a day  (jumpwire, on: manual)

         stage       action         to
●        in          webhook        → only big, audit, both
├─┬─╮
● │ │    only big    filter         → shape, count
├─┼─┼─╮
● │ │ │  shape       field_map      → send
│ │ │ ●  count       run
│ ● │    audit       acme/audit@v1  → send
│ │ │ ●  every hour  cron           → both
│ │ ├─╯
│ │ ●    both        zip            → send
├─┴─╯
●        send        webhook
"""
    )


def test_stages_of_more_lanes_than_anybody_follows_are_listed(tmp_path: Path) -> None:
    file = tmp_path / "wide.yml"
    names = [f"s{index}" for index in range(30)]
    file.write_text(
        f"name: wide\nstages:\n- {{name: t, action: manual, out: [{', '.join(names)}]}}\n"
        + "".join(f"- {{name: {name}, action: noop}}\n" for name in names)
    )
    done = run_agent("flow", "show", file)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == "●  s29    noop"


def test_mermaid_draws_stages_with_names_and_actions_and_triggers_round(tmp_path: Path) -> None:
    lines = show_stages(tmp_path, "mermaid").splitlines()
    assert lines[0] == "graph LR"
    assert '  stage0(["in<br/>webhook"])' in lines
    assert '  stage3["both<br/>zip"]' in lines
    assert "  stage0 --> stage6" in lines


def test_json_has_the_stages_of_the_job(tmp_path: Path) -> None:
    (job,) = json.loads(show_stages(tmp_path, "json"))["jobs"]
    assert (job["id"], job["steps"]) == ("stages", [])
    assert job["stages"][0] == {
        "name": "in", "action": "webhook", "kind": "receive", "out": ["only big", "audit", "both"], "uses": None,
    }  # fmt: skip
    assert [stage["uses"] for stage in job["stages"] if stage["uses"]] == ["acme/audit@v1"]
