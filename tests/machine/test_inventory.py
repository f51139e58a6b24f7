"""agent/machine/inventory.py, sampling.py and `agent machine show`: the probes put together."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.manual_clock import ManualClock
from support.nvml import HEALTHY, FakeGpu, FakeInstance, FakeMachine, nvml_env

from agent.cli.machine.inventory import show_machine
from agent.machine import inventory as inventory_module
from agent.machine.inventory import take_inventory
from agent.machine.sampling import Sampler, sample_to_json
from agent.spec.resources import inventory_from_json, to_json

SHOW = """
import sys
from agent.cli.machine.inventory import show_machine
raise SystemExit(show_machine(sys.argv[1], sys.stdout))
"""


def show(output_format: str, env: dict[str, str]) -> str:
    command = [sys.executable, "-c", SHOW, output_format]
    result = subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stderr == ""
    return result.stdout


def test_this_machines_inventory_is_whole_and_survives_json(tmp_path: Path):
    inventory = take_inventory(tmp_path)
    assert inventory.hostname
    assert (inventory.os, inventory.arch) == (
        "Linux",
        {"x86_64": "X64", "aarch64": "ARM64"}[os.uname().machine],
    )
    assert inventory.memory_bytes > 2**20
    assert inventory.disks
    assert inventory.tools["python"]
    assert inventory_from_json(json.loads(json.dumps(to_json(inventory)))) == inventory


def test_a_probe_that_breaks_costs_its_own_facts_only(monkeypatch: pytest.MonkeyPatch):
    def break_down(*_: object) -> int:
        raise RuntimeError("/proc is odd")

    for probe in (
        "find_cpu_model",
        "count_cpus",
        "measure_memory_bytes",
        "list_disks",
        "probe_tools",
        "list_gpus",
    ):
        monkeypatch.setattr(inventory_module, probe, break_down)
    monkeypatch.setattr(inventory_module.platform, "freedesktop_os_release", dict)
    inventory = take_inventory()
    assert inventory.hostname
    assert inventory.os_version.startswith("Linux ")
    assert (inventory.cpu_count, inventory.gpus, dict(inventory.tools)) == (1, (), {})
    assert len(inventory.problems) == 6
    assert all(
        "could not be found out: RuntimeError: /proc is odd" in problem for problem in inventory.problems
    )


def test_machine_show_prints_json_with_labels(nvml: Path):
    data = json.loads(show("json", nvml_env(nvml, [FakeGpu("NVIDIA H200", uuid="GPU-a")])))
    assert data["gpus"][0]["uuid"] == "GPU-a"
    assert data["labels"][:3] == ["self-hosted", "linux", data["arch"].lower()]
    assert data["labels"][3:] == ["gpu", "nvidia", "cuda", "cuda-12", "h200", "sm-90"]
    assert inventory_from_json(data).gpus[0].name == "NVIDIA H200"


def test_machine_show_prints_a_table_for_people(nvml: Path):
    mig = FakeGpu("NVIDIA A100", uuid="GPU-b", instances=[FakeInstance("A100 MIG 1g.5gb", uuid="MIG-c")])
    text = show("text", nvml_env(nvml, [FakeGpu(uuid="GPU-a", memory_bytes=-1), mig, FakeGpu(is_lost=True)]))
    lines = dict(line.split(maxsplit=1) for line in text.splitlines() if not line.startswith(("gpu", "disk")))
    assert "NVIDIA H200, n/a, driver 570.86.15, CUDA 12.8, compute 9.0, GPU-a" in text
    assert "A100 MIG 1g.5gb, 10.0 GiB, driver 570.86.15, CUDA 12.8, compute 9.0, MIG-c, of GPU-b" in text
    assert "PCIe 5 x16, NUMA node 0, CPUs 0-15, power limit 700 W" in text
    assert "ECC on, 0 uncorrectable errors, 0 rows remapped" in text
    assert "persistence on, slowed down: no" in text
    assert "mig-1g.5gb" in lines["labels"]
    assert "GPU 2 is not listed: GPU is lost" in text
    columns = {len(line) - len(line.split("  ", 1)[1].lstrip()) for line in text.splitlines()}
    assert len(columns) == 1


def test_machine_show_draws_how_gpus_are_connected_and_says_which_are_withheld(nvml: Path):
    gpus = [
        FakeGpu(uuid="GPU-a", nvlinks=["switch"] * 18),
        FakeGpu(
            uuid="GPU-b", nvlinks=["switch"] * 18, facts={"uncorrected": 2, "reasons": 0x24, "pcie_width": 8}
        ),
        FakeGpu(uuid="GPU-c", facts=dict.fromkeys(HEALTHY, -1) | {"cpus": "", "remapped": ""}),
    ]
    text = show("text", FakeMachine(nvml, gpus, levels={(0, 2): 50}).env)
    lines = [line.strip().removeprefix("links").strip() for line in text.splitlines()]
    start = lines.index("GPU0  GPU1  GPU2")
    assert [line.split() for line in lines[start + 1 : start + 4]] == [
        ["GPU0", "X", "NV18", "SYS"],
        ["GPU1", "NV18", "X", "n/a"],
        ["GPU2", "SYS", "n/a", "X"],
    ]
    assert "withheld from jobs: 2 memory errors that can't be corrected" in lines
    assert "persistence on, slowed down: power cap, software thermal slowdown" in lines
    assert any(line.startswith("PCIe 5 x8 of x16,") for line in lines)
    assert "PCIe n/a, NUMA node n/a, CPUs n/a, power limit n/a" in lines
    assert "ECC n/a, n/a uncorrectable errors, n/a rows remapped" in lines
    assert "persistence n/a, slowed down: n/a" in lines


def test_machine_show_says_so_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(inventory_module, "list_gpus", inventory_module.GpuListing)
    out = io.StringIO()
    assert show_machine("text", out) == 0
    assert any(line.split() == ["gpu", "none"] for line in out.getvalue().splitlines())


def test_a_sample_has_the_time_and_what_can_be_had(tmp_path: Path):
    clock = ManualClock(1000.0)
    with Sampler(clock, tmp_path) as sampler:
        clock.advance(10)
        sample = sampler.take()
    assert sample.time == 1010.0
    assert sample.cpu_percent is None or 0 <= sample.cpu_percent <= 100
    assert (sample.memory_used_bytes or 0) > 0
    assert (sample.disk_free_bytes or 0) > 0
    assert json.loads(json.dumps(sample_to_json(sample)))["time"] == 1010.0


def test_what_cannot_be_sampled_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> int:
        raise OSError("gone")

    for measure in ("read_cpu_time", "measure_memory_used_bytes", "measure_free_bytes"):
        monkeypatch.setattr(f"agent.machine.sampling.{measure}", fail)
    with Sampler(ManualClock(), tmp_path) as sampler:
        sample = sampler.take()
    assert (sample.cpu_percent, sample.memory_used_bytes, sample.disk_free_bytes) == (None, None, None)
