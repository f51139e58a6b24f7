"""Which job runs where, and why those that wait do so.

In CI those that the queue's order hangs on run on PostgreSQL too; all on both with AGENT_TEST_STORES=both.
"""

import json
import re
from pathlib import Path

import pytest
from support.lab import Lab, wait_for
from support.nvml import FakeGpu, build_nvml, nvml_env


def job(runs_on: str, run: str = "'true'") -> str:
    return f"  a:\n    runs-on: {runs_on}\n    steps: [{{run: {run}}}]\n"


def test_a_gpu_job_waits_with_the_reason_until_a_gpu_box_is_there(lab: Lab, tmp_path: Path) -> None:
    lab.add_agent("plain")
    run = lab.submit(lab.write_flow(job("[gpu]")))
    (waiting,) = wait_for(lambda: [j for j in lab.run(run)["jobs"] if j["waiting"]], "a reason")
    assert "gpu" in waiting["waiting"]
    assert "plain" in waiting["waiting"], "it names who is there"

    gpu = nvml_env(build_nvml(tmp_path / "nvml"), gpus=[FakeGpu(name="NVIDIA H200", memory_bytes=141 << 30)])
    lab.add_agent("gpu-box", environment=gpu)
    view = lab.wait_for_run(run)
    assert view["conclusion"] == "success", view
    (done,) = view["jobs"]
    assert done["agent"] == "gpu-box"
    assert [entry["name"] for entry in done["machine"]["gpus"]] == ["NVIDIA H200"], (
        "the result says what made it"
    )
    seen = lab.agent_view("gpu-box")
    assert [entry["name"] for entry in seen["inventory"]["gpus"]] == ["NVIDIA H200"]
    assert {"gpu", "h200"} <= set(seen["labels"])


@pytest.mark.store("sqlite", "postgresql")
def test_max_jobs_bounds_what_runs_at_once(lab: Lab) -> None:
    lab.add_agent("box", "--max-jobs", "2", "--labels", "fast,big")
    gate = f"'while [ ! -e {lab.folder}/go ]; do sleep 0.05; done'"
    runs = [lab.submit(lab.write_flow(job("[big, fast]", gate))) for _ in range(3)]
    wait_for(lambda: [lab.run(run)["status"] for run in runs].count("running") == 2, "two running")
    third = next(view for view in map(lab.run, runs) if view["status"] != "running")
    assert "busy" in third["jobs"][0]["waiting"]
    (lab.folder / "go").touch()
    assert [lab.wait_for_run(run)["conclusion"] for run in runs] == ["success"] * 3


@pytest.mark.store("sqlite", "postgresql")
def test_a_draining_agent_finishes_its_job_and_takes_no_other(lab: Lab) -> None:
    lab.add_agent("box")
    state = {"AGENT_STATE": str(lab.state("box"))}
    gate = f"'touch {lab.folder}/half; while [ ! -e {lab.folder}/go ]; do sleep 0.05; done'"
    first = lab.submit(lab.write_flow(job("self-hosted", gate)))
    wait_for((lab.folder / "half").exists, "the first job")
    assert lab.agent("drain", environment=state).code == 0
    second = lab.submit(lab.write_flow(job("self-hosted")))
    wait_for(lambda: "drain" in (lab.run(second)["jobs"][0]["waiting"] or ""), "the reason")
    impatient = lab.agent("drain", "--deadline", "1s", environment=state)
    assert (impatient.code, "1 job is still here" in impatient.err) == (1, True), impatient.err
    (lab.folder / "go").touch()
    assert lab.agent("drain", "--deadline", "never", environment=state).code == 0
    assert lab.run(first)["conclusion"] == "success"
    assert lab.run(second)["status"] == "queued"
    assert lab.agent("drain", "--undo", environment=state).code == 0
    assert lab.wait_for_run(second)["conclusion"] == "success"


def test_the_command_that_a_job_for_githubs_machines_names_lends_it_one(lab: Lab) -> None:
    lab.add_agent("box", "--labels", "fast-disk")
    run = lab.submit(lab.write_flow(job("ubuntu-latest")))
    (waiting,) = wait_for(lambda: [j for j in lab.run(run)["jobs"] if j["waiting"]], "a reason")
    command = waiting["waiting"].split("`")[1]
    assert command == "agent server agent set box labels=fast-disk,ubuntu-latest"
    assert lab.agent(*command.split()[1:]).code == 0
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert {"fast-disk", "ubuntu-latest", "self-hosted"} <= set(lab.agent_view("box")["labels"])


def test_status_tells_what_the_agent_does_and_a_stopped_one_says_so(lab: Lab) -> None:
    lab.add_agent("box")
    state = {"AGENT_STATE": str(lab.state("box"))}
    done = lab.agent("status", "--format", "json", environment=state)
    assert done.code == 0, done.err
    assert json.loads(done.out)["jobs"] == []
    lab.stop("box")
    stopped = lab.agent("status", environment=state)
    assert stopped.code == 1
    assert re.search(r"running +no; start it with `agent start`", stopped.out)


def test_an_unregistered_agent_is_gone_on_both_sides(lab: Lab) -> None:
    lab.add_agent("box")
    state = {"AGENT_STATE": str(lab.state("box"))}
    lab.stop("box")
    done = lab.agent("unregister", environment=state)
    assert done.code == 0, done.err
    assert not (lab.state("box") / "identity").exists()
    again = lab.agent("start", environment=state)
    assert again.code != 0
    assert "register" in again.err


@pytest.mark.store("sqlite", "postgresql")
def test_cancelling_a_run_ends_its_job_and_runs_what_always_runs(lab: Lab) -> None:
    lab.add_agent("box")
    flow = lab.write_flow(f"""
  a:
    runs-on: self-hosted
    steps:
      - run: touch {lab.folder}/half; sleep 600
      - if: always()
        run: echo cleaned up
      - run: echo not this
""")
    run = lab.submit(flow)
    wait_for((lab.folder / "half").exists, "the job")
    assert lab.agent("run", "cancel", str(run)).code == 0
    view = lab.wait_for_run(run)
    assert view["conclusion"] == "cancelled"
    lines = lab.lines(run, "a")
    assert "cleaned up" in lines
    assert "not this" not in lines


def test_a_job_sees_nothing_of_the_agents_own_environment(lab: Lab) -> None:
    lab.add_agent("box", environment={"AGENT_PRIVATE": "x", "MY_CLOUD_TOKEN": "y"})
    run = lab.submit(lab.write_flow(job("self-hosted", "env")))
    assert lab.wait_for_run(run)["conclusion"] == "success"
    names = {line.partition("=")[0] for line in lab.lines(run, "a")}
    assert not {"AGENT_PRIVATE", "MY_CLOUD_TOKEN", "AGENT_STATE", "AGENT_TOKEN", "AGENT_URL"} & names
    assert {"PATH", "GITHUB_RUN_ID", "RUNNER_NAME", "CI"} <= names


def test_jobs_are_given_out_and_shown_in_the_flows_order(lab: Lab) -> None:
    flow = lab.write_flow("""
  late: {needs: train, runs-on: self-hosted, steps: [{run: "true"}]}
  train:
    runs-on: self-hosted
    strategy: {matrix: {seed: [3, 1, 2]}}
    steps: [{run: "true"}]
  early: {runs-on: self-hosted, steps: [{run: "true"}]}
""")
    run = lab.submit(flow)
    order = ["late", "train (3)", "train (1)", "train (2)", "early"]
    assert [job["key"] for job in lab.run(run)["jobs"]] == order
    lab.add_agent("box")
    view = lab.wait_for_run(run)
    assert [job["key"] for job in view["jobs"]] == order
    began = sorted(view["jobs"], key=lambda job: job["started"])
    assert [job["key"] for job in began] == ["train (3)", "train (1)", "train (2)", "early", "late"]
