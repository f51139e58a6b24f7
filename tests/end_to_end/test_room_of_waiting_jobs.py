"""A job that waits for a person leaves its GPU to others, and goes on with one: through a real server and a real agent."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from support.lab import Lab, wait_for
from support.nvml import FakeGpu, build_nvml, nvml_env

LOOK = """
      - run: |
          mkdir look; echo "before $AGENT_GPUS"
          printf 'name: Look\\nruns: {using: human, form: {properties: {good: {type: integer}}}}\\n' > look/action.yml
"""


@pytest.fixture
def nvml(tmp_path: Path) -> Path:
    return build_nvml(tmp_path / "nvml")


def asks(before: str = "", after: str = "", **keys: str) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in {"resources": "{gpus: 1}", **keys}.items())
    return (
        f"  review:\n    runs-on: self-hosted\n{lines}    steps:{LOOK}{before}"
        "      - {id: look, uses: ./look}\n"
        '      - run: echo "after $AGENT_GPUS, $CUDA_VISIBLE_DEVICES, ${{ steps.look.outputs.good }}"\n'
        f"{after}"
    )


def trains(lab: Lab, gate: str = "gate") -> Path:
    """A flow whose job has a GPU until the gate is there."""
    wait = f'echo "has $AGENT_GPUS"; until [ -e {lab.folder}/{gate} ]; do sleep 0.05; done'
    job = f"  train:\n    runs-on: self-hosted\n    resources: {{gpus: 1}}\n    steps:\n      - run: {wait}\n"
    return lab.write_flow(job, name="train")


def job_of(lab: Lab, run: int) -> dict[str, Any]:
    (job,) = lab.run(run)["jobs"]
    return dict(job)


def wait_until_asked(lab: Lab, run: int) -> None:
    wait_for(lambda: job_of(lab, run)["waiting"].startswith("waits for a person"), "the form")


def wait_until_running(lab: Lab, run: int) -> None:
    wait_for(lambda: job_of(lab, run)["status"] == "running", "the other job to run")


def answer(lab: Lab, run: int) -> None:
    done = lab.agent("run", "answer", str(run), "--set", "good=7")
    assert done.code == 0, done.err


def said(lab: Lab, run: int, job: str = "review") -> list[str]:
    words = ("before ", "after ", "has ", "last ")
    return [line for line in lab.lines(run, job) if line.startswith(words)]


def test_another_job_has_the_gpu_while_a_person_is_waited_for(lab: Lab, nvml: Path) -> None:
    lab.add_agent("box", environment=nvml_env(nvml, [FakeGpu(uuid="GPU-a")]))
    waiting = lab.submit(lab.write_flow(asks()))
    wait_until_asked(lab, waiting)
    other = lab.submit(trains(lab))
    wait_until_running(lab, other)
    answer(lab, waiting)
    reason = (
        "answered by admin; it waits for room on its agent: box does not have 1 free GPU and a free slot now"
    )
    wait_for(lambda: job_of(lab, waiting)["waiting"] == reason, "what it waits for")
    assert said(lab, waiting) == ["before GPU-a"]
    third = lab.submit(trains(lab))
    (lab.folder / "gate").touch()
    assert lab.wait_for_run(waiting)["conclusion"] == "success"
    assert said(lab, waiting) == ["before GPU-a", "after GPU-a, , 7"]
    assert said(lab, other, "train") == ["has GPU-a"]
    assert lab.wait_for_run(third)["conclusion"] == "success"
    times = [job_of(lab, run)[name] for run, name in ((waiting, "finished"), (third, "started"))]
    assert times == sorted(times), "who returns has its turn before who is queued"


def test_everything_is_killed_in_between_and_the_job_goes_on_with_another_gpu(lab: Lab, nvml: Path) -> None:
    box = nvml_env(nvml, [FakeGpu(uuid="GPU-a"), FakeGpu(uuid="GPU-b")])
    lab.add_agent("box", environment=box)
    waiting = lab.submit(lab.write_flow(asks()))
    wait_until_asked(lab, waiting)
    lab.kill("box")
    lab.kill("server")
    lab.start_server()
    lab.start_agent("box", box)
    other = lab.submit(trains(lab))
    wait_until_running(lab, other)
    lab.kill("box")
    answer(lab, waiting)
    lab.kill("server")  # it is stored, and nobody has heard of it
    lab.start_server()
    lab.start_agent("box", box)
    assert lab.wait_for_run(waiting)["conclusion"] == "success"
    assert said(lab, waiting) == ["before GPU-a", "after GPU-b, GPU-b, 7"]
    assert "Goes on with GPUs: GPU-b" in lab.lines(waiting, "review")
    (lab.folder / "gate").touch()
    assert lab.wait_for_run(other)["conclusion"] == "success"
    assert said(lab, other, "train") == ["has GPU-a"]


def test_what_runs_after_a_cancel_sees_no_gpu_that_is_anothers(lab: Lab, nvml: Path) -> None:
    lab.add_agent("box", environment=nvml_env(nvml, [FakeGpu(uuid="GPU-a")]))
    last = "      - {if: always(), run: 'echo \"last [$AGENT_GPUS] [${CUDA_VISIBLE_DEVICES-unset}]\"'}\n"
    waiting = lab.submit(lab.write_flow(asks(after=last)))
    wait_until_asked(lab, waiting)
    other = lab.submit(trains(lab))
    wait_until_running(lab, other)
    assert lab.agent("run", "cancel", str(waiting)).code == 0
    assert lab.wait_for_run(waiting)["conclusion"] == "cancelled"
    assert said(lab, waiting) == ["before GPU-a", "last [] []"]
    (lab.folder / "gate").touch()
    assert lab.wait_for_run(other)["conclusion"] == "success"


def test_a_job_whose_processes_still_run_keeps_what_it_has_and_says_so(lab: Lab, nvml: Path) -> None:
    lab.add_agent("box", environment=nvml_env(nvml, [FakeGpu(uuid="GPU-a")]))
    left = "      - run: setsid sleep 600 > /dev/null 2>&1 < /dev/null &\n"
    waiting = lab.submit(lab.write_flow(asks(before=left)))
    wait_until_asked(lab, waiting)
    other = lab.submit(trains(lab))
    wait_for(lambda: "does not have" in job_of(lab, other)["waiting"] or "no agent has" in job_of(lab, other)["waiting"], "the other to wait")  # fmt: skip
    (lab.folder / "gate").touch()
    answer(lab, waiting)
    assert lab.wait_for_run(waiting)["conclusion"] == "success"
    assert said(lab, waiting) == ["before GPU-a", "after GPU-a, , 7"]
    told = "Meanwhile the job keeps what it has of this machine: processes of earlier steps still run"
    assert told in lab.lines(waiting, "review")
    assert lab.wait_for_run(other)["conclusion"] == "success"


def test_a_gpu_that_falls_off_meanwhile_fails_the_step_with_the_reason(lab: Lab, nvml: Path) -> None:
    box = nvml_env(nvml, [FakeGpu(uuid="GPU-a")])
    lab.add_agent("box", environment=box)
    waiting = lab.submit(lab.write_flow(asks()))
    wait_until_asked(lab, waiting)
    Path(box["FLOW_TEST_NVML"]).write_text("driver 570.86.15 12080\n")
    answer(lab, waiting)
    assert lab.wait_for_run(waiting)["conclusion"] == "failure"
    assert "infrastructure: GPU GPU-a is gone from this machine" in job_of(lab, waiting)["message"]


def test_a_slot_of_a_machine_without_gpus_is_anothers_too(lab: Lab) -> None:
    lab.add_agent("box", "--max-jobs", "1")
    waiting = lab.submit(lab.write_flow(asks(resources="{cpus: 1}")))
    wait_until_asked(lab, waiting)
    headers = {"Authorization": f"Bearer {lab.admin_token}"}
    job = httpx.get(f"{lab.url}/api/v1/runs/{waiting}", headers=headers).json()["jobs"][0]
    assert (job["status"], job["waiting"].startswith("waits for a person")) == ("running", True)
    other = lab.submit(
        lab.write_flow("  quick: {runs-on: self-hosted, steps: [{run: echo has it}]}\n", name="quick")
    )
    assert lab.wait_for_run(other)["conclusion"] == "success"
    answer(lab, waiting)
    assert lab.wait_for_run(waiting)["conclusion"] == "success"
