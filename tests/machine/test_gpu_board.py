"""The board: one process speaks to the driver, any number read; what is old, torn or absent says nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.lab import wait_for
from support.nvml import GIB, FakeGpu, FakeMachine

from agent.machine.gpu_board import FRESH_SECONDS, GpuBoard, write_board
from agent.machine.probes.nvidia_load import GpuLoad
from agent.spec.figures import GPU_BUSY, GPU_CLOCK, GPU_MEMORY, GPU_POWER, GPU_THROTTLED, OF_GPU

READ = """
import dataclasses, json
from agent.machine.probes.nvidia_load import GpuLoads
loads = GpuLoads()
print(json.dumps([[dataclasses.asdict(gpu) for gpu in loads.read()] for _ in range(2)]))
loads.close()
"""
LOAD = GpuLoad("GPU-a", "NVIDIA H200", {GPU_BUSY.number: 50}, ((7, 100),), GIB)


def read_twice(machine: FakeMachine) -> list[list[dict[str, object]]]:
    done = subprocess.run(
        [sys.executable, "-c", READ],
        env={**os.environ, **machine.env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return list(json.loads(done.stdout))


def test_all_figures_of_a_gpu_are_read(nvml: Path) -> None:
    gpu = FakeGpu(
        uuid="GPU-a",
        utilization_percent=42,
        memory_used_bytes=3 * GIB,
        power_milliwatts=310_400,
        process_ids=(17,),
        facts={"reasons": 0x25, "clock_sm": 1755},
    )
    first, second = read_twice(FakeMachine(nvml, [gpu]))
    assert first == second
    values = first[0]["values"]
    assert isinstance(values, dict)
    assert None not in values.values()
    assert len(values) == len(OF_GPU)
    expected = {GPU_BUSY: 42, GPU_MEMORY: 3072, GPU_POWER: 310, GPU_CLOCK: 1755, GPU_THROTTLED: 0x24}
    assert {figure: values[str(figure.number)] for figure in expected} == expected
    assert first[0]["processes"] == [[17, 0]] or first[0]["processes"][0][0] == 17  # type: ignore[index]


@pytest.mark.parametrize("fault", ["old", "oldest facts", "oldest processes", "no processes"])
def test_what_an_old_driver_does_not_know_costs_nothing_else(nvml: Path, fault: str) -> None:
    for reading in read_twice(FakeMachine(nvml, [FakeGpu(utilization_percent=42)], fault)):
        values = reading[0]["values"]
        assert isinstance(values, dict)
        assert values[str(GPU_BUSY.number)] == 42


@pytest.mark.parametrize("fault", ["no driver", "too old", "no permission"])
def test_without_a_driver_there_is_no_gpu(nvml: Path, fault: str) -> None:
    assert read_twice(FakeMachine(nvml, [FakeGpu()], fault)) == [[], []]


def test_of_a_gpu_that_fell_off_nothing_is_known_and_the_others_are_read(nvml: Path) -> None:
    gpus = [FakeGpu(uuid="GPU-a", is_lost=True), FakeGpu(uuid="GPU-b", utilization_percent=9)]
    for reading in read_twice(FakeMachine(nvml, gpus)):
        known = {str(gpu["uuid"]): gpu for gpu in reading}
        assert known["GPU-b"]["values"][str(GPU_BUSY.number)] == 9  # type: ignore[index]


def test_what_is_written_is_read_until_it_is_old(tmp_path: Path) -> None:
    path = tmp_path / "board"
    board = GpuBoard.open(path)
    assert board is not None
    assert board.read(now=100.0) is None, "nobody has written yet"
    with path.open("r+b") as file:
        write_board(file.fileno(), [LOAD], 100.0)
        assert board.read(now=100.5) == {"GPU-a": ["GPU-a", "NVIDIA H200", {"0": 50}, [[7, 100]], GIB]}
        assert board.read(now=100.5 + FRESH_SECONDS) is None
        assert board.read(now=99.0) is None, "from before this start of the machine"
        write_board(file.fileno(), [], 200.0)
        assert board.read(now=200.0) == {}


def test_a_board_that_is_caught_in_the_middle_of_a_write_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "board"
    board = GpuBoard.open(path)
    assert board is not None
    with path.open("r+b") as file:
        write_board(file.fileno(), [LOAD] * 3, 100.0)
        file.seek(40)
        file.write(b"x")
        file.flush()
    assert board.read(now=100.0) is None


def test_where_no_board_can_be_there_is_none(tmp_path: Path) -> None:
    assert GpuBoard.open(None) is None
    assert GpuBoard.open(tmp_path / "nowhere" / "board") is None
    (tmp_path / "folder").mkdir()
    assert GpuBoard.open(tmp_path / "folder") is None


def test_a_driver_that_hangs_leaves_the_board_old_and_the_next_writer_goes_on(
    nvml: Path, tmp_path: Path
) -> None:
    machine = FakeMachine(nvml, [FakeGpu(uuid="GPU-a", utilization_percent=5)])
    board = GpuBoard.open(tmp_path / "board")
    assert board is not None

    def start() -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "agent.machine.gpu_board", str(tmp_path / "board")]
        return subprocess.Popen(command, env={**os.environ, **machine.env}, stdin=subprocess.PIPE)

    with start() as first:
        wait_for(board.read, "the first figures")
        machine.block("nvmlDeviceGetUtilizationRates")
        wait_for(lambda: board.read() is None, "figures that are old")
        first.kill()
    machine.block("")
    with start() as second:
        wait_for(board.read, "figures of the next writer")
        assert second.stdin is not None
        second.stdin.close()
        assert second.wait(30) == 0, "it ends with whoever started it"
