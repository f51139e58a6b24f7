"""agent/machine/probes/nvidia.py, through the real pynvml: against a stand-in for the driver, and the real one.

Each probe runs in a process of its own, as a process can load one NVML library only.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.nvml import GIB, FakeGpu, FakeInstance, FakeMachine, nvml_env

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


FACTS = {
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
    "mig_profile": None,
    "gpu_instance": None,
    "compute_instance": None,
    "numa_node": 1,
    "cpus": "0-3,8-11",
    "persistence": True,
    "ecc": True,
    "ecc_uncorrected": 0,
    "remapped_rows": 3,
    "remap_pending": False,
    "retired_pages": 2,
    "throttling": ["power cap", "hardware thermal slowdown"],
    "power_limit_watts": 700.0,
    "pcie_generation": 5,
    "pcie_width": 8,
    "pcie_width_most": 16,
    "nvlinks": 0,
}
WELL = FakeGpu(
    uuid="GPU-a",
    facts={
        "numa": 1,
        "cpus": "0f0f",
        "remapped": "1,2,0,0",
        "retired_sbe": 2,
        "reasons": 0x44,
        "pcie_width": 8,
        "pcie_gen": 1,
    },
)


def test_a_gpu_is_listed_with_all_its_facts(nvml: Path):
    listing = run_probe(LIST, nvml_env(nvml, [WELL], driver="570.86.15", cuda="12.8"))
    assert listing == {"gpus": [FACTS], "problems": [], "is_silent": False, "links": []}


ONE_BY_ONE = """
import dataclasses, json, os
from pathlib import Path
from agent.machine.probes.nvidia import list_gpus
file = Path(os.environ["FLOW_TEST_NVML"])
whole = file.read_text()
found = {}
for function in json.loads(os.environ["FUNCTIONS"]):
    for error in (3, 10, 13, 999):
        file.write_text(whole + f"fault|*|{function}|{error}\\n")
        (gpu,) = list_gpus().gpus
        found.setdefault(function, []).append(dataclasses.asdict(gpu))
print(json.dumps(found))
"""
# What each question is asked for.
ASKED = {
    "nvmlDeviceGetName": {"name": "NVIDIA GPU"},
    "nvmlDeviceGetMemoryInfo": {"memory_bytes": None},
    "nvmlSystemGetDriverVersion": {"driver": None},
    "nvmlDeviceGetCudaComputeCapability": {"compute_capability": None},
    "nvmlDeviceGetPciInfo_v3": {"pci_bus_id": None},
    "nvmlDeviceGetPersistenceMode": {"persistence": None},
    "nvmlDeviceGetEccMode": {"ecc": None},
    "nvmlDeviceGetTotalEccErrors": {"ecc_uncorrected": None},
    "nvmlDeviceGetRemappedRows": {"remapped_rows": None, "remap_pending": None},
    "nvmlDeviceGetRetiredPages": {"retired_pages": None},
    "nvmlDeviceGetEnforcedPowerLimit": {"power_limit_watts": None},
    "nvmlDeviceGetMaxPcieLinkGeneration": {"pcie_generation": None},
    "nvmlDeviceGetCurrPcieLinkWidth": {"pcie_width": None},
    "nvmlDeviceGetMaxPcieLinkWidth": {"pcie_width_most": None},
    "nvmlDeviceGetCpuAffinity": {"cpus": None},
    "nvmlDeviceGetNumaNodeId": {"numa_node": None},
    "nvmlDeviceGetMigMode": {},
    "nvmlDeviceGetNvLinkState": {},
    "nvmlDeviceGetCurrentClocksEventReasons": {},  # by its older name
    "nvmlSystemGetCudaDriverVersion_v2": {},  # by its older name
}


def test_a_value_that_cannot_be_read_costs_no_other(nvml: Path):
    env = {**nvml_env(nvml, [WELL]), "FUNCTIONS": json.dumps(list(ASKED))}
    found = run_probe(ONE_BY_ONE, env)
    for function, lacking in ASKED.items():
        assert found[function] == [{**FACTS, **lacking}] * 4, function


def test_a_driver_from_before_most_questions_lists_what_it_knows(nvml: Path):
    gpus = [WELL, FakeGpu(nvlinks=[0])]
    [gpu, other] = run_probe(LIST, nvml_env(nvml, gpus, "oldest facts"))["gpus"]
    unknown = dict.fromkeys(["numa_node", "cpus", "remapped_rows", "remap_pending"])
    assert gpu == {**FACTS, **unknown}
    assert other["nvlinks"] == 1


KERNEL = """
import sys
from pathlib import Path
from agent.machine.probes import nvidia_facts
nvidia_facts.PCI_DEVICES = Path(os.environ["PCI_DEVICES"])
"""


def test_what_an_old_driver_does_not_tell_of_numa_the_kernel_does(nvml: Path, tmp_path: Path):
    for bus, node in (("0000:01:00.0", "1"), ("0000:02:00.0", "-1")):
        (tmp_path / bus).mkdir()
        (tmp_path / bus / "numa_node").write_text(f"{node}\n")
        (tmp_path / bus / "local_cpulist").write_text("0-3,8-11\n")
    env = {**nvml_env(nvml, [WELL, FakeGpu()], "oldest facts"), "PCI_DEVICES": str(tmp_path)}
    gpus = run_probe("import os\n" + KERNEL + LIST, env)["gpus"]
    assert [(gpu["numa_node"], gpu["cpus"]) for gpu in gpus] == [(1, "0-3,8-11"), (None, "0-3,8-11")]


def kinds(listing: dict) -> dict[tuple[str, str], str]:
    return {(link["first"][-1], link["second"][-1]): link["kind"] for link in listing["links"]}


def test_gpus_are_connected_as_nvidia_smi_words_it(nvml: Path):
    ring = [
        FakeGpu(uuid="GPU-a", nvlinks=[1, 1]),
        FakeGpu(uuid="GPU-b", nvlinks=[0, 0]),
        FakeGpu(uuid="GPU-c"),
    ]
    ring += [FakeGpu(uuid=f"GPU-{name}") for name in "def"]
    levels = {(0, 2): 10, (0, 3): 20, (0, 4): 30, (0, 5): 40, (1, 2): 50, (1, 3): 0}
    found = kinds(run_probe(LIST, FakeMachine(nvml, ring, levels=levels).env))
    assert found == {
        ("a", "b"): "NV2",
        ("a", "c"): "PIX",
        ("a", "d"): "PXB",
        ("a", "e"): "PHB",
        ("a", "f"): "NODE",
        ("b", "c"): "SYS",
        ("b", "d"): "PSB",
    }


def test_gpus_behind_switches_have_as_many_links_as_both_have_up(nvml: Path):
    gpus = [
        FakeGpu(uuid=f"GPU-{name}", nvlinks=["switch"] * up)
        for name, up in zip("abc", (18, 18, 16), strict=True)
    ]
    listing = run_probe(LIST, nvml_env(nvml, gpus))
    assert kinds(listing) == {("a", "b"): "NV18", ("a", "c"): "NV16", ("b", "c"): "NV16"}
    assert [gpu["nvlinks"] for gpu in listing["gpus"]] == [18, 18, 16]


def test_a_gpu_whose_links_cannot_be_read_costs_no_other_its_own(nvml: Path):
    machine = FakeMachine(nvml, [FakeGpu(uuid=f"GPU-{n}", nvlinks=["switch"]) for n in "abc"])
    machine.fail("nvmlDeviceGetNvLinkState", 999, index=0)
    assert kinds(run_probe(LIST, machine.env)) == {("b", "c"): "NV1"}


def test_an_instance_says_its_profile_and_its_numbers(nvml: Path):
    ids = {"gi": 7, "ci": 0, "slices": 3, "ci_slices": 3}
    named = FakeInstance("NVIDIA A100-SXM4-40GB MIG 3g.20gb", 20 * GIB, uuid="MIG-a", facts=ids)
    part = {"gi": 9, "ci": 1, "slices": 3, "ci_slices": 1}
    unnamed = FakeInstance("NVIDIA A100-SXM4-40GB", 20 * GIB, uuid="MIG-b", facts=part)
    gpu = FakeGpu("NVIDIA A100-SXM4-40GB", 40 * GIB, uuid="GPU-a", instances=[named, unnamed])
    other = FakeGpu(uuid="GPU-b")
    listing = run_probe(LIST, FakeMachine(nvml, [gpu, other], levels={(0, 1): 50}).env)
    first, second, _ = listing["gpus"]
    assert (first["mig_profile"], first["gpu_instance"], first["compute_instance"]) == ("3g.20gb", 7, 0)
    assert (second["mig_profile"], second["gpu_instance"], second["compute_instance"]) == ("1c.3g.20gb", 9, 1)
    assert (first["numa_node"], first["pcie_width"], first["nvlinks"]) == (0, 16, None)
    assert kinds(listing) == {("a", "b"): "SYS"}, "links are those of whole GPUs"


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
