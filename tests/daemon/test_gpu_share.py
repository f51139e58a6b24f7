"""The share of an agent: what its machine says of itself, and what jobs are told."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from daemon.test_machine import INVENTORY
from support.wire import job_spec

from agent.config import load_settings
from agent.daemon import machine as machine_module
from agent.daemon.gpu_share import allows_strangers, read_share_wish, without_shares
from agent.daemon.machine import Machine
from agent.errors import UsageError
from agent.job.launch.launcher import JobSettings
from agent.machine.probes.nvidia import GpuListing
from agent.machine.share import Share, ShareWish
from agent.spec.resources import GpuLink
from agent.wire import messages as m

SECOND = Share(frozenset({"GPU-b"}), "--gpus 1")
SEEN = replace(INVENTORY, links=(GpuLink("GPU-a", "GPU-b", "NV4"),))


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_module, "_take_inventory", lambda _folder: SEEN)
    monkeypatch.setattr(machine_module, "_list_gpus", lambda: GpuListing(SEEN.gpus))


def make_machine(folder: Path, share: Share | None = SECOND, wish: str = "1") -> Machine:
    return Machine(folder, runs_one_job=False, share=share, wish=ShareWish(wish, "--gpus"))


async def test_gpus_of_others_are_not_in_the_inventory(tmp_path: Path) -> None:
    inventory = await make_machine(tmp_path).take_inventory()
    assert [gpu.uuid for gpu in inventory.gpus] == ["GPU-b"]
    assert (inventory.links, inventory.share) == ((), "1 of 2 GPUs is offered (--gpus 1)")


async def test_a_job_that_has_all_of_a_share_is_told_its_gpus_by_name(tmp_path: Path) -> None:
    machine = make_machine(tmp_path)
    await machine.take_inventory()
    named = {"AGENT_GPUS": "GPU-b", "CUDA_VISIBLE_DEVICES": "GPU-b", "NVIDIA_VISIBLE_DEVICES": "GPU-b"}
    for gpus in (("GPU-b",), None):  # None: a server that does not decide
        assign = m.Assign("job", 1, job_spec("job"), gpus=gpus)
        assert (await machine.equip(JobSettings(tmp_path), assign)).given == named
    assert (await machine.find_room(("GPU-b",))).given == named


async def test_a_share_that_the_driver_could_not_tell_of_at_the_start_is_settled_by_its_first_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = make_machine(tmp_path, share=None)
    monkeypatch.setattr(machine_module, "_take_inventory", lambda _folder: replace(SEEN, gpus=()))
    assert (await machine.take_inventory()).gpus == ()
    monkeypatch.setattr(machine_module, "_list_gpus", lambda: GpuListing(SEEN.gpus))
    await machine.look_again()
    assert [gpu.uuid for gpu in machine.gpus] == ["GPU-b"]
    renumbered = (replace(SEEN.gpus[0], index=1), replace(SEEN.gpus[1], index=0))
    monkeypatch.setattr(machine_module, "_list_gpus", lambda: GpuListing(renumbered))
    await machine.look_again()
    assert [gpu.uuid for gpu in machine.gpus] == ["GPU-b"], "by UUID from then on"


def test_the_flag_wins_over_the_setting_and_that_over_what_the_agent_was_started_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert read_share_wish(load_settings()) == ShareWish("3", "CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("AGENT_GPU_SHARE", "2")
    assert read_share_wish(load_settings()) == ShareWish("2", "AGENT_GPU_SHARE")
    assert read_share_wish(load_settings({"gpu_share": "1"})) == ShareWish("1", "--gpus")


def test_what_the_agent_was_started_with_is_not_its_jobs() -> None:
    told = {"CUDA_VISIBLE_DEVICES": "2,3", "NVIDIA_VISIBLE_DEVICES": "all", "CUDA_HOME": "/usr/local/cuda"}
    assert without_shares(told) == {"CUDA_HOME": "/usr/local/cuda"}


def test_what_becomes_of_strangers_is_one_of_two_words() -> None:
    assert not allows_strangers(load_settings())
    assert allows_strangers(load_settings({"gpu_strangers": "allow"}))
    with pytest.raises(UsageError, match="'maybe' is neither withhold nor allow"):
        allows_strangers(load_settings({"gpu_strangers": "maybe"}))
