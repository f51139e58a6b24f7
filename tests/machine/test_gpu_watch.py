"""agent/machine/gpu_watch.py through the real pynvml, over a stand-in for the driver that changes while it is watched."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.nvml import FakeGpu, FakeMachine

WATCH = """
import dataclasses, json, sys
from agent.machine.gpu_watch import GpuWatch

def tell(seen):
    print(json.dumps({"kind": type(seen).__name__, **dataclasses.asdict(seen)}), flush=True)

watch = GpuWatch(tell, look_seconds=float(sys.argv[1]))
watch.start()
sys.stdin.read()
watch.stop()
"""
# The daemon's part, with less patience.
CARE = """
import asyncio, json, sys
from pathlib import Path
from agent.daemon import gpus
from agent.daemon.executor import LocalExecutor
from agent.daemon.jobs import JobTable
from agent.daemon.machine import Machine
from agent.job.launch.launcher import ForkServer, JobSettings

gpus._SILENT_SECONDS = 3.0

async def work():
    folder = Path(sys.argv[1])
    machine, settings = Machine(folder, runs_one_job=False), JobSettings(folder)
    care = asyncio.create_task(gpus.GpuCare(machine, JobTable(folder, settings, LocalExecutor(ForkServer(), settings))).run())
    await machine.take_inventory()
    while True:
        machine.changed.clear()
        found = (await machine.take_inventory()).gpus
        print(json.dumps({gpu.uuid: gpu.withheld for gpu in found}), flush=True)
        await machine.changed.wait()

asyncio.run(work())
"""


class Lines:
    """What a program says, line by line; a line that never comes ends the test by its time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def next(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def wait_for(self, **wanted: Any) -> Any:
        """The next report that says this."""
        while True:
            found = self.next()
            if all(found.get(key) == value for key, value in wanted.items()):
                return found


@contextmanager
def running(program: str, machine: FakeMachine, *words: str) -> Iterator[Lines]:
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        env={**os.environ, **machine.env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Lines(process)
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def machine(nvml: Path) -> FakeMachine:
    return FakeMachine(nvml, [FakeGpu(uuid="GPU-a"), FakeGpu(uuid="GPU-b")])


def test_an_xid_is_told_at_once_and_followed_by_a_look(machine: FakeMachine) -> None:
    with running(WATCH, machine, "3600") as lines:
        assert [gpu["uuid"] for gpu in lines.next()["gpus"]] == ["GPU-a", "GPU-b"]
        machine.say_xid(1, 79)  # the next look by itself is an hour away
        told = lines.next()
        assert (told["kind"], told["gpu"], told["number"], told["gpu_instance"]) == (
            "XidEvent",
            "GPU-b",
            79,
            None,
        )
        assert lines.next()["kind"] == "DriverLook"
        machine.say_xid(0, 94, instance=3)
        told = lines.next()
        assert (told["gpu"], told["number"], told["gpu_instance"]) == ("GPU-a", 94, 3)


def test_what_the_driver_reported_before_is_no_event(machine: FakeMachine) -> None:
    machine.say_xid(0, 79)
    with running(WATCH, machine, "3600") as lines:
        assert lines.next()["kind"] == "DriverLook"
        machine.say_xid(1, 48)
        assert lines.next()["gpu"] == "GPU-b"


def test_a_gpu_that_is_lost_and_one_that_was_added_are_in_the_next_look(machine: FakeMachine) -> None:
    with running(WATCH, machine, "0.1") as lines:
        assert lines.next()["unreachable"] == 0
        machine.lose(0)
        lost = lines.wait_for(unreachable=1)
        assert [gpu["uuid"] for gpu in lost["gpus"]] == ["GPU-b"]
        machine.find(0)
        machine.add(FakeGpu(uuid="GPU-c"))
        lines.wait_for(unreachable=0)
        machine.say_xid(2, 48)
        assert lines.wait_for(kind="XidEvent")["gpu"] == "GPU-c"


def test_what_one_gpu_answers_with_an_error_is_its_own(machine: FakeMachine) -> None:
    machine.fail("nvmlDeviceGetTemperature", 15, index=1)
    with running(WATCH, machine, "0.1") as lines:
        assert [gpu["error"] for gpu in lines.next()["gpus"]] == [0, 15]
        machine.fail("nvmlDeviceGetTemperature", 999, index=1)
        while [gpu["error"] for gpu in lines.next()["gpus"]] != [0, 999]:
            pass
        machine.fail("nvmlDeviceGetTemperature", 3, index=1)  # can't be had, which is no fault
        while [gpu["error"] for gpu in lines.next()["gpus"]] != [0, 0]:
            pass


def test_a_driver_that_is_reloaded_is_away_and_back(machine: FakeMachine) -> None:
    with running(WATCH, machine, "0.1") as lines:
        assert lines.next()["away"] == ""
        machine.unload()
        assert (
            lines.wait_for(kind="DriverLook", gpus=[])["away"]
            == "the NVIDIA driver is away (Driver Not Loaded)"
        )
        machine.load()
        assert [gpu["uuid"] for gpu in lines.wait_for(is_reloaded=True)["gpus"]] == ["GPU-a", "GPU-b"]


def test_a_reload_between_two_looks_is_told_of_and_costs_no_gpu_its_service(machine: FakeMachine) -> None:
    with running(WATCH, machine, "0.5") as lines:
        assert not lines.next()["is_reloaded"]
        machine.load()
        assert lines.wait_for(is_reloaded=True)["away"] == ""


def test_a_driver_without_events_is_looked_at(nvml: Path) -> None:
    machine = FakeMachine(nvml, [FakeGpu(uuid="GPU-a", facts={"uncorrected": 1})], "oldest facts")
    with running(WATCH, machine, "0.1") as lines:
        (gpu,) = lines.next()["gpus"]
        assert (gpu["uncorrected"], gpu["remap_pending"], gpu["recovery"]) == (1, None, None)
        machine.tell(0, uncorrected=2)
        while lines.next()["gpus"][0]["uncorrected"] != 2:
            pass


def test_the_driver_says_that_it_wants_a_reset(machine: FakeMachine) -> None:
    machine.tell(0, recovery=1, remapped="0,1,1,0")
    with running(WATCH, machine, "0.1") as lines:
        first, second = lines.next()["gpus"]
    assert (first["recovery"], first["remap_pending"], first["remap_failed"]) == (1, True, False)
    assert (second["recovery"], second["remap_pending"]) == (None, False)


def test_a_driver_that_hangs_holds_up_nobody_and_its_gpus_are_out_of_service(
    machine: FakeMachine, tmp_path: Path
) -> None:
    with running(CARE, machine, str(tmp_path)) as lines:
        assert lines.next() == {"GPU-a": "", "GPU-b": ""}
        machine.block("nvmlDeviceGetTemperature")
        reason = "the NVIDIA driver has not answered for 3 seconds"
        assert lines.next() == {"GPU-a": reason, "GPU-b": reason}
        machine.block("")
        assert lines.next() == {"GPU-a": "", "GPU-b": ""}
