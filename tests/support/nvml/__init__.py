"""A machine's GPUs as a test wants them: a stand-in for NVIDIA's driver library, for the real `pynvml` to load.

The library is found through `LD_LIBRARY_PATH`, which counts from a process's start: run the agent, or a Python
that calls the probe, as a process with the environment that `nvml_env` gives.

    library = build_nvml(tmp_path)
    env = nvml_env(library, gpus=[FakeGpu("NVIDIA H200")])
    subprocess.run(["agent", "machine", "show"], env={**os.environ, **env})

`tests/machine/test_nvidia.py` holds it to the same contract as a real driver, where there is one.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
    "no processes": (
        "nvmlDeviceGetComputeRunningProcesses_v3",
        "nvmlDeviceGetComputeRunningProcesses_v2",
        "nvmlDeviceGetComputeRunningProcesses",
    ),
}
GPU_IS_LOST = 15
_SOURCE = Path(__file__).with_name("nvml.c")


@dataclass(frozen=True)
class FakeInstance:
    """A MIG instance. The UUID is made from its place when it is left out."""

    name: str
    memory_bytes: int = 10 * GIB
    memory_used_bytes: int = 0
    uuid: str = ""


@dataclass(frozen=True)
class FakeGpu:
    """A GPU; a figure of -1 is one that the driver can't tell. `instances` other than None: it is in MIG mode."""

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
    folder: Path,
    gpus: Sequence[FakeGpu] = (),
    fault: str | None = None,
    *,
    driver: str = "570.86.15",
    cuda: str = "12.8",
    trace: Path | None = None,
) -> dict[str, str]:
    """The environment in which a process has `gpus`, with the library that `build_nvml` made in `folder`.

    `fault`: a key of `INIT_ERRORS` or `MISSING_FUNCTIONS`, or "hang" for a driver that never answers. `trace` is a
    file that gets a line for each session that is ended.
    """
    major, minor = cuda.split(".")
    lines = [f"driver|{driver}", f"cuda|{int(major) * 1000 + int(minor) * 10}"]
    lines += [f"init|{INIT_ERRORS[fault]}"] if fault in INIT_ERRORS else []
    lines += ["hang|"] if fault == "hang" else []
    for index, gpu in enumerate(gpus):
        lines.append(_gpu_line(index, gpu))
        lines += [
            _instance_line(index, place, instance) for place, instance in enumerate(gpu.instances or ())
        ]
    with tempfile.NamedTemporaryFile("w", dir=folder, prefix="machine-", suffix=".txt", delete=False) as file:
        file.write("\n".join(lines) + "\n")
    variant = fault.replace(" ", "-") if fault in MISSING_FUNCTIONS else "whole"
    env = {"LD_LIBRARY_PATH": str(folder / variant), "FLOW_TEST_NVML": file.name}
    return {**env, "FLOW_TEST_NVML_TRACE": str(trace)} if trace else env


def _gpu_line(index: int, gpu: FakeGpu) -> str:
    fields = [
        gpu.uuid or f"GPU-{index:08d}-0000-0000-0000-000000000000",
        gpu.name,
        gpu.memory_bytes,
        gpu.memory_used_bytes,
        gpu.compute_capability,
        f"00000000:{index + 1:02X}:00.0",
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
