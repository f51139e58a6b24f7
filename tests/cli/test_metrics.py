"""`agent machine top`, `agent run metrics` and what a local run says of its GPUs."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from support.lab import run_agent
from support.nvml import GIB, FakeGpu, FakeMachine, build_nvml

from agent.cli.run.metrics import _print_csv, _print_text, draw_blocks, show_figure

CHART: dict[str, Any] = {
    "key": "train",
    "times": [100, 110, 120],
    "gpus": [],
    "series": [
        {
            "name": "cpu_percent",
            "gpu": None,
            "mean": [10, None, 30],
            "least": None,
            "most": [20, None, 90],
            "reasons": None,
        },
        {
            "name": "memory_bytes",
            "gpu": 0,
            "mean": [GIB, GIB, None],
            "least": None,
            "most": None,
            "reasons": None,
        },
    ],
}


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nvml(tmp_path_factory.mktemp("nvml"))


def test_top_is_one_frame_in_a_pipe(nvml: Path, tmp_path: Path) -> None:
    gpus = [
        FakeGpu(uuid="GPU-a", utilization_percent=42, facts={"reasons": 4}),
        FakeGpu(uuid="GPU-b", utilization_percent=-1, temperature_celsius=-1),
    ]
    environment = {**FakeMachine(nvml, gpus).env, "AGENT_STATE": str(tmp_path)}
    done = run_agent("machine", "top", environment=environment)
    assert (done.code, done.err) == (0, "")
    _titles, first, second = done.out.splitlines()
    assert "GPU-a" in first
    assert " 42 %" in first
    assert "power cap" in first
    assert "n/a" in second
    (told,) = run_agent("machine", "top", "--format", "json", environment=environment).records()
    assert [gpu["utilization_percent"] for gpu in told["gpus"]] == [42, None]
    assert told["gpus"][0]["job"] is None


def test_top_without_a_gpu_says_so(tmp_path: Path) -> None:
    done = run_agent("machine", "top", environment={"AGENT_STATE": str(tmp_path)})
    assert (done.code, done.out) == (0, "no NVIDIA GPU answers on this machine; `agent doctor` says why\n")


def test_a_local_run_says_what_its_step_used_of_its_gpu(nvml: Path, tmp_path: Path) -> None:
    gpu = FakeGpu(uuid="GPU-a", utilization_percent=60, memory_used_bytes=7 * GIB, power_milliwatts=400_000)
    project = tmp_path / "project"
    project.mkdir()
    flow = project / "flow.yml"
    script = f"until ls {tmp_path}/*/jobs/*/journal >/dev/null 2>&1; do sleep 0.1; done; sleep 5"
    flow.write_text(
        f"on: push\njobs:\n  train:\n    runs-on: self-hosted\n    resources: {{gpus: 1}}\n    steps:\n      - run: {json.dumps(script)}\n"
    )
    environment = {
        **FakeMachine(nvml, [gpu]).env,
        "AGENT_STATE": str(tmp_path / "state"),
        "TMPDIR": str(tmp_path),
    }
    done = run_agent("flow", "run", flow, "--format", "json", cwd=project, environment=environment)
    assert done.code == 0, done.err
    lines = [record["text"] for record in done.records() if record["kind"] == "log"]
    (line,) = (line for line in lines if line.startswith("Used: "))
    assert "GPU 60 % busy on average, 7.0 GiB of a GPU's memory at most" in line
    ended = [record for record in done.records() if record["kind"] == "step" and record["used"]]
    assert ended[0]["used"]["gpu_percent"] == 60


def test_a_chart_is_a_row_a_time_in_csv_and_a_row_a_figure_in_a_pipe() -> None:
    out = io.StringIO()
    _print_csv([CHART], out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [row["cpu_percent"] for row in rows] == ["10", "", "30"]
    assert rows[2] == {"job": "train", "time": "120", "cpu_percent": "30", "gpu0_memory_bytes": ""}
    out = io.StringIO()
    _print_text([CHART], out)
    _titles, cpu, memory = out.getvalue().splitlines()
    assert cpu.split() == ["train", "cpu_percent", "20", "%", "90", "%", "30", "%"]
    assert memory.endswith("n/a")


def test_blocks_are_as_high_as_their_values_and_gaps_are_blank() -> None:
    assert draw_blocks([0, 50, None, 100]) == "▁▅ █"
    assert draw_blocks([0, 0]) == "▁▁"


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("utilization_percent", 41.6, "42 %"),
        ("clock_sm_hertz", 1.755e9, "1755 MHz"),
        ("power_watts", 310, "310 W"),
        ("processes", 3, "3"),
    ],
)
def test_a_figure_is_shown_in_its_unit(name: str, value: float, shown: str) -> None:
    assert show_figure(name, value) == shown
