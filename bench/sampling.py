"""What sampling costs each second, on and off in one run: the daemon's part (eight GPUs of a stand-in for the driver, read and written to the
board) and a supervisor's (its tree and the board, records into a journal).

    .venv/bin/python bench/sampling.py [--seconds 30] [--processes 8]

The stand-in answers at once: what a real driver takes for itself comes on top of the daemon's part.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from measure import clean_environment

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

GOAL_PERCENT = 0.1
GOAL_BYTES = 3_000_000
_SETTLE_SECONDS = 3.0
_BURN = "import time\nwhile True:\n    time.sleep(0.05)\n    sum(range(20000))"

_DAEMON = """
import sys, time
from pathlib import Path
import agent.daemon.daemon
from agent.machine.gpu_board import BoardWriter
from agent.machine.probes.nvidia import GpuMeter
meter = GpuMeter()  # a daemon asks the driver with each heartbeat, sampling or not
meter.read()
if sys.argv[1] == "on":
    BoardWriter(Path(sys.argv[2]), lambda: True).start()
print(flush=True)
time.sleep(3600)
"""
_SUPERVISOR = """
import asyncio, subprocess, sys
from pathlib import Path
import agent.job.supervisor.process
from agent.job.output.masking import Masker
from agent.job.output.recorder import Recorder
from agent.job.process.cgroup import JobGroup
from agent.job.sampling.sampler import JobSampler
from agent.machine.gpu_board import GpuBoard
UUIDS = tuple(f"GPU-{index:08d}-0000-0000-0000-000000000000" for index in range(8))
async def main():
    recorder = Recorder(Path(sys.argv[3]), Masker())
    for _ in range(int(sys.argv[4])):
        subprocess.Popen([sys.executable, "-c", sys.argv[5]])
    if sys.argv[1] == "on":
        JobSampler(recorder, JobGroup(None, ""), GpuBoard.open(Path(sys.argv[2])), lambda: UUIDS).begin()
    print(flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--processes", type=int, default=8, help="of the job")
    options = parser.parse_args()
    from support.nvml import FakeGpu, build_nvml, nvml_env

    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        gpus = [FakeGpu(utilization_percent=90 + index) for index in range(8)]
        environment = {**clean_environment(), **nvml_env(build_nvml(folder / "nvml"), gpus)}
        started: list[subprocess.Popen[bytes]] = []

        def start(program: str, state: str) -> subprocess.Popen[bytes]:
            words = [
                state,
                folder / "board",
                folder / f"journal-{len(started)}",
                str(options.processes),
                _BURN,
            ]
            process = subprocess.Popen(
                [sys.executable, "-c", program, *words], env=environment, stdout=subprocess.PIPE
            )
            started.append(process)
            assert process.stdout is not None
            process.stdout.readline()
            return process

        try:
            parts = {
                part: [start(program, state) for state in ("off", "on")]
                for part, program in (("daemon", _DAEMON), ("supervisor", _SUPERVISOR))
            }
            is_met = _compare(parts, options.seconds)
            journal = (folder / "journal-3").stat().st_size / (options.seconds + _SETTLE_SECONDS)
            print(f"journal: {journal:.0f} bytes a second of eight GPUs")
        finally:
            for process in started:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
                process.wait()
    return 0 if is_met else 1


def _compare(parts: dict[str, list[subprocess.Popen[bytes]]], seconds: float) -> bool:
    time.sleep(_SETTLE_SECONDS)
    before = {part: [_cpu_ns(process.pid) for process in pair] for part, pair in parts.items()}
    time.sleep(seconds)
    is_met = True
    for part, pair in parts.items():
        off, on = (
            (_cpu_ns(process.pid) - was) / seconds / 1e7
            for process, was in zip(pair, before[part], strict=True)
        )
        size = _own_bytes(pair[1].pid) - _own_bytes(pair[0].pid)
        is_good = on - off <= GOAL_PERCENT and size <= GOAL_BYTES
        is_met = is_met and is_good
        print(
            f"{part:<11} {on - off:6.3f} % of a core (off {off:.3f}, on {on:.3f}), {size / 1e6:5.2f} MB"
            f"   goal {GOAL_PERCENT} %, 3 MB: {'met' if is_good else 'MISSED'}"
        )
    return is_met


def _cpu_ns(pid: int) -> int:
    """What all threads of a process have computed."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def _own_bytes(pid: int) -> int:
    """What only this process has in memory (USS): what it would give back."""
    return int(psutil.Process(pid).memory_full_info().uss)


if __name__ == "__main__":
    sys.exit(main())
