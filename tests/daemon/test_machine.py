"""What a job is told of the machine that it runs on."""

from pathlib import Path

import pytest

from agent.daemon import machine as machine_module
from agent.daemon.machine import Machine
from agent.job.launch import JobSettings
from agent.spec.resources import Gpu, Inventory

INVENTORY = Inventory(
    hostname="box-1",
    os="Linux",
    os_version="Debian 12",
    arch="X64",
    kernel="6.1",
    cpu_model="EPYC",
    cpu_count=64,
    memory_bytes=1 << 40,
    disks=(),
    gpus=(Gpu(0, "GPU-a", "NVIDIA H200", driver="570.1", cuda="12.8"), Gpu(1, "GPU-b", "NVIDIA H200")),
    tools={},
    problems=(),
)


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "_take_inventory", lambda _folder: INVENTORY)


async def test_a_job_that_has_the_machine_to_itself_has_its_gpus_by_uuid(tmp_path: Path) -> None:
    machine = Machine(tmp_path, runs_one_job=True)
    await machine.take_inventory()
    settings = machine.equip(JobSettings(tmp_path))
    assert settings.gpus == ("GPU-a", "GPU-b")
    assert settings.machine["cpu"] == "EPYC"


async def test_jobs_that_share_a_machine_have_no_gpu_in_containers(tmp_path: Path) -> None:
    machine = Machine(tmp_path, runs_one_job=False)
    await machine.take_inventory()
    settings = machine.equip(JobSettings(tmp_path))
    assert settings.gpus == ()
    assert len(settings.machine["gpus"]) == 2, "the result says all the same what it was made on"


def test_before_the_first_look_nothing_is_claimed(tmp_path: Path) -> None:
    settings = JobSettings(tmp_path)
    assert Machine(tmp_path, runs_one_job=True).equip(settings) == settings
