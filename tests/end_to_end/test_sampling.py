"""A job's samples, through a real server, a real agent and the stand-in for NVIDIA's driver: charts, a step's line, gaps."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from support.lab import Lab, wait_for
from support.nvml import GIB, FakeGpu, FakeMachine, build_nvml


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    """Two GPUs whose load the test changes."""
    gpus = [FakeGpu(uuid="GPU-a", utilization_percent=0), FakeGpu(uuid="GPU-b", utilization_percent=77)]
    return FakeMachine(build_nvml(tmp_path / "nvml"), gpus)


def chart_of(lab: Lab, job: str, **query: int) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {lab.admin_token}"}
    answer = httpx.get(f"{lab.url}/api/v1/jobs/{job}/metrics", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def series(chart: dict[str, Any], name: str, gpu: int | None) -> list[float | None]:
    return next((one["mean"] for one in chart["series"] if (one["name"], one["gpu"]) == (name, gpu)), [])


def is_seen(lab: Lab, job: str, percent: int) -> bool:
    return percent in series(chart_of(lab, job), "utilization_percent", 0)


def start(lab: Lab, machine: FakeMachine) -> tuple[int, str, Path]:
    """A run whose job has one GPU until the gate is there."""
    lab.add_agent("box", environment=machine.env)
    gate = lab.folder / "gate"
    script = f"until [ -e {gate} ]; do sleep 0.05; done"
    flow = lab.write_flow(
        f"  train:\n    runs-on: self-hosted\n    resources: {{gpus: 1}}\n    steps:\n      - run: '{script}'\n"
    )
    run = lab.submit(flow)
    wait_for(lambda: lab.run(run)["jobs"][0]["status"] == "running", "the job to run")
    return run, lab.run(run)["jobs"][0]["id"], gate


def test_what_a_gpu_does_is_in_the_chart_in_the_steps_line_and_in_the_live_stream(
    lab: Lab, machine: FakeMachine
) -> None:
    run, job, gate = start(lab, machine)
    machine.change(0, utilization_percent=30, memory_used_bytes=3 * GIB, power_milliwatts=300_000)
    wait_for(lambda: is_seen(lab, job, 30), "the first load in the chart")
    machine.change(0, utilization_percent=90, memory_used_bytes=20 * GIB, power_milliwatts=600_000)
    wait_for(lambda: is_seen(lab, job, 90), "the second load in the chart")
    headers = {"Authorization": f"Bearer {lab.admin_token}"}
    with httpx.stream("GET", f"{lab.url}/api/v1/jobs/{job}/events", headers=headers, timeout=60) as stream:
        lines = iter(stream.iter_lines())
        assert "event: sample" in lines
        assert '"utilization_percent": 90' in next(lines).replace('":', '": ').replace("  ", " ")
    gate.touch()
    assert lab.wait_for_run(run)["conclusion"] == "success"
    chart = chart_of(lab, job)
    assert chart["gpus"] == [{"uuid": "GPU-a", "name": "NVIDIA H200", "memory_total_bytes": 141 * GIB}]
    busy = [value for value in series(chart, "utilization_percent", 0) if value is not None]
    assert busy.index(30) < busy.index(90)
    assert 77 not in busy, "the other GPU is none of the job's"
    assert max(filter(None, series(chart, "memory_bytes", 0))) == 20 * GIB
    assert 600 in series(chart, "power_watts", 0)
    line = next(line for line in lab.lines(run, "train") if line.startswith("Used: GPU "))
    assert "20.0 GiB of a GPU's memory at most" in line
    assert " Wh" in line
    used = next(step["used"] for step in _steps(lab, job) if step["id"] == "__run")
    assert used["gpu_memory_peak_bytes"] == 20 * GIB
    assert used["watt_hours"] > 0
    assert "train" in lab.agent("run", "metrics", str(run)).out


def test_a_daemon_that_is_killed_leaves_a_gap_in_the_gpus_figures_and_nothing_else(
    lab: Lab, machine: FakeMachine
) -> None:
    run, job, gate = start(lab, machine)
    machine.change(0, utilization_percent=40)
    wait_for(lambda: is_seen(lab, job, 40), "the load before")
    lab.kill("box")
    (journal,) = (lab.state("box") / "jobs").glob("*/journal")
    size = journal.stat().st_size
    wait_for(lambda: journal.stat().st_size > size and not _is_fresh(lab), "the board to be old")
    wait_for(lambda: _says_nothing(journal), "a sample that knows nothing of the GPU")
    machine.change(0, utilization_percent=80)
    lab.start_agent("box", machine.env)
    wait_for(lambda: is_seen(lab, job, 80), "the load after")
    gate.touch()
    assert lab.wait_for_run(run)["conclusion"] == "success"
    chart = chart_of(lab, job)
    busy = series(chart, "utilization_percent", 0)
    gap = [value for value in busy[busy.index(40) : busy.index(80)] if value is None]
    assert gap, busy
    between = series(chart, "processes", None)[busy.index(40) : busy.index(80)]
    assert None not in between, "the job's own figures go on without the daemon"


def _steps(lab: Lab, job: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {lab.admin_token}"}
    return list(httpx.get(f"{lab.url}/api/v1/jobs/{job}", headers=headers).json()["steps"])


def _is_fresh(lab: Lab) -> bool:
    from agent.machine.gpu_board import GpuBoard

    board = GpuBoard.open(lab.state("box") / "gpus")
    return board is not None and board.read() is not None


def _says_nothing(journal: Path) -> bool:
    from agent.journal.file import JournalReader
    from agent.journal.samples import JobSample
    from agent.spec.figures import GPU_BUSY, code_of

    code = code_of(GPU_BUSY, 0)
    said = [
        record.values[code]
        for _end, record in JournalReader(journal)
        if isinstance(record, JobSample) and code in record.values
    ]
    return bool(said) and said[-1] is None
