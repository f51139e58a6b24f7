"""What a job is told of the machine that it runs on."""

from pathlib import Path

import pytest
from support.wire import job_spec

from agent.daemon import machine as machine_module
from agent.daemon.machine import GpuGoneError, GpuWithheldError, Machine
from agent.daemon.withheld import WithheldBy
from agent.job.launch.launcher import JobSettings
from agent.machine.probes.nvidia import GpuListing
from agent.spec.job import GangNode
from agent.spec.resources import Gpu, Inventory
from agent.wire import messages as m

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
    monkeypatch.setattr(machine_module, "_list_gpus", lambda: GpuListing(INVENTORY.gpus))


async def equip(folder: Path, *, runs_one_job: bool, **told: object) -> JobSettings:
    machine = Machine(folder, runs_one_job=runs_one_job)
    await machine.take_inventory()
    return await machine.equip(JobSettings(folder), m.Assign("job", 1, job_spec("job"), **told))


async def test_where_nobody_decides_a_job_that_has_the_machine_to_itself_has_its_gpus(tmp_path: Path) -> None:
    settings = await equip(tmp_path, runs_one_job=True)
    assert settings.gpus == ("GPU-a", "GPU-b")
    assert settings.machine["cpu"] == "EPYC"


async def test_where_nobody_decides_jobs_that_share_a_machine_have_no_gpu_in_containers(
    tmp_path: Path,
) -> None:
    settings = await equip(tmp_path, runs_one_job=False)
    assert settings.gpus == ()
    assert len(settings.machine["gpus"]) == 2, "the result says all the same what it was made on"


async def test_a_job_has_the_gpus_that_the_server_gave_it_and_no_other(tmp_path: Path) -> None:
    settings = await equip(tmp_path, runs_one_job=False, gpus=("GPU-b",))
    assert settings.gpus == ("GPU-b",)
    assert [gpu["uuid"] for gpu in settings.machine["gpus"]] == ["GPU-b"]
    assert settings.given == {
        "AGENT_GPUS": "GPU-b",
        "CUDA_VISIBLE_DEVICES": "GPU-b",
        "NVIDIA_VISIBLE_DEVICES": "GPU-b",
    }


async def test_a_job_that_was_given_no_gpu_sees_none(tmp_path: Path) -> None:
    settings = await equip(tmp_path, runs_one_job=True, gpus=())
    assert settings.gpus == ()
    assert settings.given == {
        "AGENT_GPUS": "",
        "CUDA_VISIBLE_DEVICES": "",
        "NVIDIA_VISIBLE_DEVICES": "void",
    }


async def test_a_job_that_was_given_all_gpus_may_number_them_as_it_likes(tmp_path: Path) -> None:
    settings = await equip(tmp_path, runs_one_job=True, gpus=("GPU-a", "GPU-b"))
    assert settings.given == {"AGENT_GPUS": "GPU-a,GPU-b"}


async def test_a_node_knows_its_place(tmp_path: Path) -> None:
    settings = await equip(tmp_path, runs_one_job=True, node=GangNode(1, 4, "gpu-box-1", 23_456))
    assert settings.given == {
        "AGENT_NODE_RANK": "1",
        "AGENT_NODES": "4",
        "MASTER_ADDR": "gpu-box-1",
        "MASTER_PORT": "23456",
    }


async def test_before_the_first_look_nothing_is_claimed(tmp_path: Path) -> None:
    settings = JobSettings(tmp_path)
    assign = m.Assign("job", 1, job_spec("job"))
    assert await Machine(tmp_path, runs_one_job=True).equip(settings, assign) == settings


async def test_a_gpu_that_is_gone_is_refused_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = GpuListing(INVENTORY.gpus[:1], ("GPU 1 is not listed: GPU is lost",))
    monkeypatch.setattr(machine_module, "_list_gpus", lambda: lost)
    assert (await equip(tmp_path, runs_one_job=False, gpus=("GPU-a",))).gpus == ("GPU-a",)
    with pytest.raises(GpuGoneError) as refused:
        await equip(tmp_path, runs_one_job=False, gpus=("GPU-a", "GPU-b"))
    assert refused.value.what == (
        "infrastructure: GPU GPU-b is gone from this machine (GPU 1 is not listed: GPU is lost)"
    )


async def test_a_gpu_that_is_withheld_is_refused_before_the_start_and_told_to_the_server(
    tmp_path: Path,
) -> None:
    machine = Machine(tmp_path, runs_one_job=False)
    await machine.take_inventory()
    machine.withhold(WithheldBy.RESERVATION, {"GPU-b": "reserved by ann"})
    machine.withhold(WithheldBy.FAULT, {"GPU-b": "it fell off the bus"})
    assert machine.changes == 2
    assert [gpu.withheld for gpu in (await machine.take_inventory()).gpus] == ["", "it fell off the bus"]
    assign = m.Assign("job", 1, job_spec("job"), gpus=("GPU-b",))
    with pytest.raises(GpuWithheldError, match="is withheld: it fell off the bus"):
        await machine.equip(JobSettings(tmp_path), assign)
    machine.withhold(WithheldBy.FAULT, {})
    assert [gpu.withheld for gpu in (await machine.take_inventory()).gpus] == ["", "reserved by ann"]
    machine.withhold(WithheldBy.RESERVATION, {})
    assert (await machine.equip(JobSettings(tmp_path), assign)).gpus == ("GPU-b",)


async def test_a_job_that_nobody_has_chosen_gpus_for_gets_none_that_is_withheld(tmp_path: Path) -> None:
    machine = Machine(tmp_path, runs_one_job=True)
    await machine.take_inventory()
    machine.withhold(WithheldBy.OUTSIDE, {"GPU-a": "somebody computes on it"})
    settings = await machine.equip(JobSettings(tmp_path), m.Assign("job", 1, job_spec("job")))
    assert settings.gpus == ("GPU-b",)


async def test_a_broken_gpu_stays_in_the_inventory_as_it_was_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(tmp_path, runs_one_job=False)
    await machine.take_inventory()
    monkeypatch.setattr(machine_module, "_list_gpus", lambda: GpuListing(INVENTORY.gpus[1:]))
    machine.withhold(WithheldBy.FAULT, {"GPU-a": "it fell off the bus"})
    await machine.look_again()
    assert [(gpu.uuid, gpu.withheld) for gpu in (await machine.take_inventory()).gpus] == [
        ("GPU-a", "it fell off the bus"),
        ("GPU-b", ""),
    ]
    monkeypatch.setattr(machine_module, "_list_gpus", lambda: GpuListing(INVENTORY.gpus))
    machine.withhold(WithheldBy.FAULT, {})
    await machine.look_again()
    assert (await machine.take_inventory()).gpus == INVENTORY.gpus


async def test_of_a_driver_that_is_silent_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine_module, "_list_gpus", lambda: GpuListing(is_silent=True))
    assert (await equip(tmp_path, runs_one_job=False, gpus=("GPU-b",))).gpus == ("GPU-b",)
