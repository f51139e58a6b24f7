"""agent/machine/probes/nvidia.py, through the real pynvml: against a stand-in for the driver, and the real one.

Each probe runs in a process of its own, as a process can load one NVML library only.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.nvml import GIB, FakeGpu, FakeInstance, nvml_env

from agent.machine.probes.driver_problems import explain_failed_start

LIST = """
import dataclasses, json, sys
from agent.machine.probes.nvidia import list_gpus
listing = list_gpus(timeout_seconds=float(sys.argv[1]))
print(json.dumps(dataclasses.asdict(listing)))
"""
METER = """
import dataclasses, json, sys
from agent.machine.probes.nvidia import GpuMeter
meter = GpuMeter()
readings = [meter.read(timeout_seconds=float(sys.argv[1])) for _ in range(2)]
meter.close()
print(json.dumps([[dataclasses.asdict(gpu) for gpu in reading] for reading in readings]))
"""
REOPEN = """
import json, os, sys
from pathlib import Path
from agent.machine.probes.nvidia import GpuMeter
meter = GpuMeter()
configuration = Path(os.environ["FLOW_TEST_NVML"])
whole = configuration.read_text()
configuration.write_text("init|9\\n")
readings = [len(meter.read())]
configuration.write_text(whole)
readings.append(len(meter.read()))
print(json.dumps(readings))
"""


def run_probe(program: str, env: dict[str, str], timeout_seconds: float = 60):
    command = [sys.executable, "-c", program, str(timeout_seconds)]
    result = subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def test_a_gpu_is_listed_with_all_its_facts(nvml: Path):
    gpu = FakeGpu("NVIDIA H200", memory_bytes=141 * GIB, uuid="GPU-a", compute_capability="9.0")
    assert run_probe(LIST, nvml_env(nvml, [gpu], driver="570.86.15", cuda="12.8")) == {
        "gpus": [
            {
                "index": 0,
                "uuid": "GPU-a",
                "name": "NVIDIA H200",
                "memory_bytes": 141 * GIB,
                "driver": "570.86.15",
                "cuda": "12.8",
                "compute_capability": "9.0",
                "mig_parent": None,
                "pci_bus_id": "00000000:01:00.0",
                "withheld": "",
            }
        ],
        "problems": [],
        "is_silent": False,
        "links": [],
    }


def test_a_lost_gpu_is_told_of_and_hides_no_other(nvml: Path):
    listing = run_probe(
        LIST, nvml_env(nvml, [FakeGpu(uuid="GPU-a"), FakeGpu(is_lost=True), FakeGpu(uuid="GPU-c")])
    )
    assert [(gpu["index"], gpu["uuid"]) for gpu in listing["gpus"]] == [(0, "GPU-a"), (2, "GPU-c")]
    assert listing["problems"] == ["GPU 1 is not listed: GPU is lost"]


def test_mig_instances_stand_in_the_place_of_their_gpu(nvml: Path):
    halves = [FakeInstance("NVIDIA A100-SXM4-40GB MIG 3g.20gb", 20 * GIB, uuid=f"MIG-{n}") for n in "ab"]
    gpu = FakeGpu("NVIDIA A100-SXM4-40GB", 40 * GIB, uuid="GPU-a", compute_capability="8.0", instances=halves)
    listing = run_probe(LIST, nvml_env(nvml, [gpu, FakeGpu(uuid="GPU-b")]))
    facts = [(g["index"], g["uuid"], g["mig_parent"], g["memory_bytes"] // GIB) for g in listing["gpus"]]
    assert facts == [(0, "MIG-a", "GPU-a", 20), (0, "MIG-b", "GPU-a", 20), (1, "GPU-b", None, 141)]
    assert listing["gpus"][0]["compute_capability"] == "8.0"
    assert listing["gpus"][0]["name"].endswith("MIG 3g.20gb")
    assert listing["problems"] == []


def test_a_gpu_in_mig_mode_without_instances_is_told_of(nvml: Path):
    listing = run_probe(LIST, nvml_env(nvml, [FakeGpu(instances=[])]))
    assert listing["gpus"] == []
    assert listing["problems"] == ["GPU 0 is not listed: it is in MIG mode and has no instances"]


def test_memory_that_the_driver_cannot_tell_is_none(nvml: Path):
    [gpu] = run_probe(LIST, nvml_env(nvml, [FakeGpu("NVIDIA GB10", memory_bytes=-1)]))["gpus"]
    assert (gpu["name"], gpu["memory_bytes"]) == ("NVIDIA GB10", None)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("no driver", "is not loaded"),
        ("too old", "is too old for this agent"),
        ("half updated", "reboot"),
        ("no permission", "no permission"),
        ("unheard of", "NVML error 777"),
    ],
)
def test_a_driver_that_does_not_start_is_one_sentence(nvml: Path, fault: str, words: str):
    listing = run_probe(LIST, nvml_env(nvml, [FakeGpu()], fault))
    assert listing["gpus"] == []
    [problem] = listing["problems"]
    assert words in problem
    assert "GPUs not listed" in problem


def test_a_driver_of_some_years_ago_still_lists_its_gpus(nvml: Path):
    [gpu] = run_probe(LIST, nvml_env(nvml, [FakeGpu(uuid="GPU-a")], "old", cuda="11.4"))["gpus"]
    assert (gpu["uuid"], gpu["cuda"], gpu["pci_bus_id"]) == ("GPU-a", "11.4", None)


@pytest.mark.parametrize(("program", "answer"), [(LIST, "gpus"), (METER, None)])
def test_a_driver_that_hangs_is_not_waited_for(nvml: Path, program: str, answer: str | None):
    found = run_probe(program, nvml_env(nvml, [FakeGpu()], "hang"), timeout_seconds=0.01)
    if answer is None:
        assert found == [[], []]
    else:
        assert found["gpus"] == []
        assert "did not answer within 0.01 seconds" in found["problems"][0]
        assert found["is_silent"]


def test_every_session_with_the_driver_is_ended(nvml: Path, tmp_path: Path):
    for program in (LIST, METER):
        trace = tmp_path / str(len(program))
        run_probe(program, nvml_env(nvml, [FakeGpu(is_lost=True), FakeGpu()], trace=trace))
        assert trace.read_text() == "shutdown, 0 left\n"


def test_figures_are_read_again_and_again(nvml: Path):
    gpu = FakeGpu(
        uuid="GPU-a",
        memory_bytes=80 * GIB,
        memory_used_bytes=3 * GIB,
        utilization_percent=97,
        temperature_celsius=61,
        power_milliwatts=612_500,
        process_ids=[4711, 4712],
    )
    first, second = run_probe(METER, nvml_env(nvml, [gpu, FakeGpu(is_lost=True)]))
    assert first == second
    assert first == [
        {
            "uuid": "GPU-a",
            "utilization_percent": 97,
            "memory_used_bytes": 3 * GIB,
            "memory_total_bytes": 80 * GIB,
            "temperature_celsius": 61,
            "power_watts": 612.5,
            "process_ids": [4711, 4712],
        }
    ]


def test_what_a_mig_instance_cannot_tell_is_none_and_not_zero(nvml: Path):
    gpu = FakeGpu(instances=[FakeInstance("H100 MIG 1g.10gb", 10 * GIB, 2 * GIB, uuid="MIG-a")])
    [[figures], _] = run_probe(METER, nvml_env(nvml, [gpu]))
    assert (figures["uuid"], figures["memory_used_bytes"]) == ("MIG-a", 2 * GIB)
    assert (figures["utilization_percent"], figures["temperature_celsius"], figures["power_watts"]) == (
        None,
    ) * 3


def test_a_figure_whose_function_is_missing_is_none(nvml: Path):
    [[figures], _] = run_probe(METER, nvml_env(nvml, [FakeGpu()], "old"))
    assert (figures["power_watts"], figures["temperature_celsius"]) == (None, 30)


@pytest.mark.parametrize("fault", [None, "old", "oldest processes"])
@pytest.mark.parametrize("pids", [[], [4711, 4712, 4713]])
def test_foreign_processes_are_seen_through_drivers_of_all_times(
    nvml: Path, fault: str | None, pids: list[int]
):
    gpus = [FakeGpu(process_ids=pids), FakeGpu(process_ids=[1])]
    [[first, second], _] = run_probe(METER, nvml_env(nvml, gpus, fault))
    assert (first["process_ids"], second["process_ids"]) == (pids, [1])


def test_a_driver_that_knows_of_no_processes_tells_all_else(nvml: Path):
    [[figures], _] = run_probe(METER, nvml_env(nvml, [FakeGpu(process_ids=[1])], "no processes"))
    assert (figures["process_ids"], figures["temperature_celsius"]) == (None, 30)


MISMATCH = """
import json, pynvml
pynvml.nvmlInit()
handle = pynvml.nvmlDeviceGetHandleByIndex(0)
try:
    pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
except Exception as error:
    print(json.dumps([type(error).__name__, isinstance(error, pynvml.NVMLError)]))
"""


def test_an_unversioned_question_to_an_old_driver_is_an_error_of_its_own(nvml: Path):
    """Why the probe asks by version: this is no NVMLError, and would end the whole reading."""
    for fault in ("old", "oldest processes", "no processes"):
        assert run_probe(MISMATCH, nvml_env(nvml, [FakeGpu()], fault)) == ["NVMLLibraryMismatchError", False]


def test_a_meter_finds_a_driver_that_comes_back(nvml: Path):
    assert run_probe(REOPEN, nvml_env(nvml, [FakeGpu()])) == [0, 1]


def test_no_library_is_a_problem_only_where_there_is_an_nvidia_gpu(tmp_path: Path):
    assert explain_failed_start(12, "", devices=tmp_path) == ()
    for number, (vendor, kind) in enumerate(
        [("0x10de", "0x040300"), ("0x8086", "0x030000")]
    ):  # its sound, another's
        device = tmp_path / f"0000:0{number}:00.0"
        device.mkdir()
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "vendor").write_text("0x10de\n")
    assert explain_failed_start(12, "", devices=tmp_path) == ()
    (tmp_path / "0000:00:00.0" / "class").write_text("0x030200\n")
    [problem] = explain_failed_start(12, "", devices=tmp_path)
    assert "libnvidia-ml.so.1 is not found" in problem


@pytest.fixture(params=["stand-in", pytest.param("real driver", marks=pytest.mark.gpu)])
def driver_env(request: pytest.FixtureRequest, nvml: Path) -> dict[str, str]:
    """The stand-in is held to what a real driver does."""
    if request.param == "stand-in":
        return nvml_env(
            nvml, [FakeGpu(), FakeGpu("NVIDIA A100-SXM4-80GB", instances=[FakeInstance("A100 MIG 1g.10gb")])]
        )
    if not Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has no NVIDIA driver")
    return {}


def test_contract_of_a_driver(driver_env: dict[str, str]):
    listing = run_probe(LIST, driver_env)
    readings = run_probe(METER, driver_env)
    assert listing["gpus"]
    uuids = [gpu["uuid"] for gpu in listing["gpus"]]
    assert len(set(uuids)) == len(uuids)
    for gpu in listing["gpus"]:
        assert gpu["uuid"].startswith("MIG-" if gpu["mig_parent"] else "GPU-")
        assert gpu["name"]
        assert int(gpu["cuda"].split(".")[0]) >= 9
        assert len(gpu["compute_capability"].split(".")) == 2
        assert gpu["pci_bus_id"].count(":") == 2
    for reading in readings:
        assert [figures["uuid"] for figures in reading] == uuids
        assert all(0 <= (figures["utilization_percent"] or 0) <= 100 for figures in reading)
