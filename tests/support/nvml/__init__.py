"""A machine's GPUs as a test wants them: a stand-in for NVIDIA's driver library, for the real `pynvml` to load.

The library is found through `LD_LIBRARY_PATH`, which counts from a process's start: run the agent, or a Python
that calls the probe, as a process with the environment that `nvml_env` gives.

    library = build_nvml(tmp_path)
    machine = FakeMachine(library, [FakeGpu("NVIDIA H200"), FakeGpu()])
    subprocess.run(["agent", "machine", "show"], env={**os.environ, **machine.env})
    machine.lose(1)                # while a process runs: seen with its next call
    machine.say_xid(0, 48)

`nvml_env` is the same for a machine that stays as it is.

`tests/machine/test_nvidia.py` holds it to the same contract as a real driver, where there is one.
"""

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

GIB = 2**30

# What `nvml_env(fault=...)` knows: what nvmlInit answers, in NVML's numbers ...
INIT_ERRORS = {"no permission": 4, "no driver": 9, "half updated": 18, "unheard of": 777}
# ... and which functions a driver of some years ago lacks. "too old" cannot even be started.
MISSING_FUNCTIONS = {
    "too old": ("nvmlInitWithFlags", "nvmlErrorString"),
    "old": (
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetPciInfo_v3",
        "nvmlSystemGetCudaDriverVersion_v2",
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetPowerUsage",
    ),
    "oldest processes": (
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetComputeRunningProcesses_v2",
    ),
    # Before R450, R460, R525, R535: no MIG, no second versions, no events, nothing of NUMA, remapped rows or links.
    "oldest facts": (
        "nvmlDeviceGetMigMode",
        "nvmlDeviceGetAttributes_v2",
        "nvmlDeviceGetMemoryInfo_v2",
        "nvmlDeviceGetNumaNodeId",
        "nvmlDeviceGetCpuAffinity",
        "nvmlDeviceGetRemappedRows",
        "nvmlDeviceGetCurrentClocksEventReasons",
        "nvmlDeviceGetNvLinkRemotePciInfo_v2",
        "nvmlDeviceGetNvLinkRemoteDeviceType",
        "nvmlDeviceGetTopologyCommonAncestor",
        "nvmlDeviceGetP2PStatus",
        "nvmlDeviceGetFieldValues",
        "nvmlEventSetWait_v2",
    ),
    "no processes": (
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetComputeRunningProcesses_v2",
        "nvmlDeviceGetComputeRunningProcesses",
    ),
}
GPU_IS_LOST = 15
NO_INSTANCE = 0xFFFFFFFF
# What a healthy GPU says of itself, by the names of nvml.c; those that are missing it can't tell.
HEALTHY: Mapping[str, object] = MappingProxyType(
    {
        "numa": 0,
        "cpus": "ffff",
        "ecc": 1,
        "corrected": 0,
        "uncorrected": 0,
        "reasons": 1,  # idle
        "persistence": 1,
        "remapped": "0,0,0,0",
        "retired_sbe": 0,
        "retired_dbe": 0,
        "retired_pending": 0,
        "clock_sm": 345,
        "clock_memory": 3201,
        "max_clock_sm": 1980,
        "max_clock_memory": 3201,
        "pcie_gen": 5,
        "pcie_width": 16,
        "pcie_max_gen": 5,
        "pcie_max_width": 16,
        "pcie_tx": 0,
        "pcie_rx": 0,
        "power_limit": 700_000,
    }
)
_SOURCE = Path(__file__).with_name("nvml.c")


@dataclass(frozen=True)
class FakeInstance:
    """A MIG instance. The UUID is made from its place when it is left out. `facts`: gi, ci, slices, ci_slices, sms."""

    name: str
    memory_bytes: int = 10 * GIB
    memory_used_bytes: int = 0
    uuid: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class FakeGpu:
    """A GPU; a figure of -1 is one that the driver can't tell. `instances` other than None: it is in MIG mode.

    `facts` say it otherwise than `HEALTHY` does. `nvlinks`: what each NVLink leads to, another GPU's index or "switch".
    """

    name: str = "NVIDIA H200"
    memory_bytes: int = 141 * GIB
    memory_used_bytes: int = 0
    uuid: str = ""
    compute_capability: str = "9.0"
    is_lost: bool = False
    instances: Sequence[FakeInstance] | None = None
    utilization_percent: int = 0
    temperature_celsius: int = 30
    power_milliwatts: int = 75_500
    process_ids: Sequence[int] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    nvlinks: Sequence[int | str] = ()


def build_nvml(folder: Path) -> Path:
    """Compile the library (whole, and once per entry of `MISSING_FUNCTIONS`) into `folder`; gives `folder` back."""
    for name, missing in {"whole": (), **MISSING_FUNCTIONS}.items():
        place = folder / name.replace(" ", "-")
        place.mkdir(parents=True, exist_ok=True)
        script = place / "symbols.map"
        hidden = "".join(f"{function};" for function in missing)
        script.write_text(f"{{ global: nvml*; {f'local: {hidden}' if hidden else ''} }};\n")
        library = place / "libnvidia-ml.so.1"
        options = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
        options += [f"-Wl,--version-script={script}", "-Wl,-soname,libnvidia-ml.so.1"]
        subprocess.run(["gcc", *options, "-o", library, _SOURCE], check=True)
    return folder


def nvml_env(
    folder: Path, gpus: Sequence[FakeGpu] = (), fault: str | None = None, **more: Any
) -> dict[str, str]:
    """The environment in which a process has `gpus`, with the library that `build_nvml` made in `folder`."""
    return FakeMachine(folder, gpus, fault, **more).env


class FakeMachine:
    """`gpus` with a driver, which can change while processes run that have `env` in their environment.

    `fault`: a key of `INIT_ERRORS` or `MISSING_FUNCTIONS`, or "hang" for a driver that never answers. `levels` are the PCIe
    distances between pairs of GPUs, as NVML counts them (10, 20, ... 50). `trace` is a file that gets a line for each
    session that is ended.
    """

    def __init__(
        self,
        folder: Path,
        gpus: Sequence[FakeGpu] = (),
        fault: str | None = None,
        *,
        driver: str = "570.86.15",
        cuda: str = "12.8",
        levels: Mapping[tuple[int, int], int] = MappingProxyType({}),
        trace: Path | None = None,
    ) -> None:
        self.gpus = list(gpus)
        self._driver = driver
        self._cuda = cuda
        self._levels = levels
        self._init_error = INIT_ERRORS.get(fault or "", 0)
        self._hangs = fault == "hang"
        self._stuck = ""
        self._loads = 0
        self._faults: dict[tuple[str, str], int] = {}
        self._xids: list[str] = []
        variant = str(fault).replace(" ", "-") if fault in MISSING_FUNCTIONS else "whole"
        with tempfile.NamedTemporaryFile(
            "w", dir=folder, prefix="machine-", suffix=".txt", delete=False
        ) as file:
            self.file = Path(file.name)
        self.env = {"LD_LIBRARY_PATH": str(folder / variant), "FLOW_TEST_NVML": file.name}
        if trace:
            self.env["FLOW_TEST_NVML_TRACE"] = str(trace)
        self.write()

    # What may happen to it

    def change(self, index: int, **words: Any) -> None:
        """The GPU is another from now on: words of `FakeGpu`."""
        self.gpus[index] = replace(self.gpus[index], **words)
        self.write()

    def tell(self, index: int, **facts: object) -> None:
        """The GPU says this of itself from now on."""
        self.change(index, facts={**self.gpus[index].facts, **facts})

    def lose(self, index: int) -> None:
        """The GPU falls off the bus."""
        self.change(index, is_lost=True)

    def find(self, index: int) -> None:
        """It is back."""
        self.change(index, is_lost=False)

    def add(self, gpu: FakeGpu) -> None:
        """A GPU is plugged in."""
        self.gpus.append(gpu)
        self.write()

    def say_xid(self, index: int, number: int, instance: int = NO_INSTANCE) -> None:
        """The driver reports an error of the GPU, to whoever waits for its events."""
        self._xids.append(f"xid|{len(self._xids) + 1}|{index}|{number}|{instance}|{NO_INSTANCE}")
        self.write()

    def unload(self) -> None:
        """The driver's module is taken out."""
        self._init_error = INIT_ERRORS["no driver"]
        self._loads += 1
        self.write()

    def load(self) -> None:
        """It is put in again."""
        self._init_error = 0
        self._loads += 1
        self.write()

    def fail(self, function: str, error: int, index: int | None = None) -> None:
        """The function answers this error from now on, for one GPU or all; 0: no more."""
        self._faults[function, "*" if index is None else str(index)] = error
        self.write()

    def block(self, function: str) -> None:
        """The function does not answer any more; empty: all do."""
        self._stuck = function
        self.write()

    def write(self) -> None:
        """Put it into the file that the library reads, at once."""
        aside = self.file.with_suffix(".new")
        aside.write_text("\n".join(self._lines()) + "\n")
        aside.replace(self.file)

    def _lines(self) -> list[str]:
        major, minor = self._cuda.split(".")
        lines = [f"driver|{self._driver}", f"cuda|{int(major) * 1000 + int(minor) * 10}"]
        lines += [f"init|{self._init_error}"] if self._init_error else []
        lines += ["hang|"] if self._hangs else []
        lines += [f"stuck|{self._stuck}"] if self._stuck else []
        lines.append(f"reload|{self._loads}")
        for index, gpu in enumerate(self.gpus):
            lines += self._gpu_lines(index, gpu)
        lines += [f"level|{first}|{second}|{level}" for (first, second), level in self._levels.items()]
        lines += [
            f"fault|{index}|{function}|{error}" for (function, index), error in self._faults.items() if error
        ]
        return [*lines, *self._xids]

    def _gpu_lines(self, index: int, gpu: FakeGpu) -> list[str]:
        lines = [_gpu_line(index, gpu)]
        lines += [f"fact|{index}|{name}|{value}" for name, value in {**HEALTHY, **gpu.facts}.items()]
        for number, end in enumerate(gpu.nvlinks):
            where = "0|" + bus_id(end) if isinstance(end, int) else "2|00000000:F0:00.0"
            lines.append(f"nvlink|{index}|{number}|{where}")
        for place, instance in enumerate(gpu.instances or ()):
            lines.append(_instance_line(index, place, instance))
            lines += [f"migfact|{index}|{place}|{name}|{value}" for name, value in instance.facts.items()]
        return lines


def bus_id(index: int) -> str:
    """Where the GPU of this number is plugged in."""
    return f"00000000:{index + 1:02X}:00.0"


def _gpu_line(index: int, gpu: FakeGpu) -> str:
    fields = [
        gpu.uuid or f"GPU-{index:08d}-0000-0000-0000-000000000000",
        gpu.name,
        gpu.memory_bytes,
        gpu.memory_used_bytes,
        gpu.compute_capability,
        bus_id(index),
        GPU_IS_LOST if gpu.is_lost else 0,
        0 if gpu.instances is None else 1,
        gpu.utilization_percent,
        gpu.temperature_celsius,
        gpu.power_milliwatts,
        ",".join(str(pid) for pid in gpu.process_ids),
    ]
    return "gpu|" + "|".join(str(field) for field in fields)


def _instance_line(index: int, place: int, instance: FakeInstance) -> str:
    uuid = instance.uuid or f"MIG-{index:08d}-0000-0000-0000-{place:012d}"
    return f"mig|{index}|{place}|{uuid}|{instance.name}|{instance.memory_bytes}|{instance.memory_used_bytes}"
