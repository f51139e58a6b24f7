"""GPUs that break while jobs run: through a real server, a real agent and a stand-in for NVIDIA's driver."""

from pathlib import Path
from typing import Any

import pytest
from support.lab import Lab, wait_for
from support.nvml import GIB, FakeGpu, FakeInstance, FakeMachine, build_nvml


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nvml(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def machine(nvml: Path) -> FakeMachine:
    """Two GPUs with NVLinks between them."""
    gpus = [FakeGpu(uuid="GPU-a", nvlinks=[1] * 4), FakeGpu(uuid="GPU-b", nvlinks=[0] * 4)]
    return FakeMachine(nvml, gpus)


def job(name: str, script: str, **keys: str) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    return f"  {name}:\n    runs-on: self-hosted\n{lines}    steps:\n      - run: {script}\n"


def hold(lab: Lab) -> str:
    """A script that says which GPU it has, and lasts until the gate is there."""
    return f"echo has $AGENT_GPUS; until [ -e {lab.folder}/gate ]; do sleep 0.05; done; echo done"


def jobs_of(lab: Lab, run: int) -> dict[str, dict[str, Any]]:
    return {one["key"]: one for one in lab.run(run)["jobs"]}


def gpu_of(lab: Lab, run: int, key: str) -> str:
    said = wait_for(
        lambda: [line for line in lab.lines(run, key) if line.startswith("has ")], f"{key} to say what it has"
    )
    return str(said[0].removeprefix("has "))


def shown(lab: Lab) -> dict[str, str]:
    """What is withheld, by UUID, as the server has it."""
    return {gpu["uuid"]: gpu["withheld"] for gpu in lab.agent_view("box")["inventory"]["gpus"]}


def test_what_the_server_knows_of_gpus_is_what_the_driver_says(lab: Lab, nvml: Path) -> None:
    half = FakeInstance("NVIDIA A100-SXM4-40GB MIG 3g.20gb", 20 * GIB, uuid="MIG-a", facts={"gi": 2, "ci": 0})
    whole = FakeGpu(uuid="GPU-a", nvlinks=["switch"] * 18, facts={"numa": 1, "remapped": "0,1,0,0"})
    cut = FakeGpu("NVIDIA A100-SXM4-40GB", 40 * GIB, uuid="GPU-b", instances=[half])
    lab.add_agent("box", environment=FakeMachine(nvml, [whole, cut], levels={(0, 1): 50}).env)
    inventory = lab.agent_view("box")["inventory"]
    first, second = inventory["gpus"]
    assert (first["uuid"], first["numa_node"], first["remapped_rows"], first["nvlinks"]) == (
        "GPU-a",
        1,
        1,
        18,
    )
    assert (second["uuid"], second["mig_profile"], second["gpu_instance"]) == ("MIG-a", "3g.20gb", 2)
    assert inventory["links"] == [{"first": "GPU-a", "second": "GPU-b", "kind": "SYS"}]
    assert {"h200", "sm-90", "nvlink", "mig-3g.20gb"} <= set(lab.agent_view("box")["labels"])


def test_a_gpu_falls_off_while_two_jobs_run_and_a_third_waits_until_it_is_back(
    lab: Lab, machine: FakeMachine
) -> None:
    lab.add_agent("box", "--max-jobs", "4", environment=machine.env)
    one = "{gpus: 1}"
    run = lab.submit(
        lab.write_flow(job("one", hold(lab), resources=one) + job("two", hold(lab), resources=one))
    )
    places = {gpu_of(lab, run, key): key for key in ("one", "two")}
    third = lab.submit(lab.write_flow(job("three", "echo has $AGENT_GPUS", resources=one), "third"))
    machine.lose(0)
    lost = wait_for(lambda: (found := jobs_of(lab, run)[places["GPU-a"]])["conclusion"] and found, "its end")
    assert (lost["conclusion"], lost["failure_kind"]) == ("failure", "gpu")
    assert lost["message"] == "GPU 0 (GPU-a) is out of service: it fell off the bus"
    why = "1 of 2 GPUs is withheld: GPU 0 (it fell off the bus)"
    wait_for(lambda: jobs_of(lab, third)["three"]["waiting"].endswith(f"; on box {why}"), "the reason")
    assert shown(lab) == {"GPU-a": "it fell off the bus", "GPU-b": ""}
    assert jobs_of(lab, run)[places["GPU-b"]]["status"] == "running"
    machine.find(0)
    assert lab.wait_for_run(third)["conclusion"] == "success"
    assert gpu_of(lab, third, "three") == "GPU-a"
    assert shown(lab) == {"GPU-a": "", "GPU-b": ""}
    (lab.folder / "gate").touch()
    lab.wait_for_run(run)
    assert jobs_of(lab, run)[places["GPU-b"]]["conclusion"] == "success"
    log = lab.log_of("box")
    assert "GPU 0 (GPU-a) is out of service: it fell off the bus" in log
    assert "GPU 0 (GPU-a) is back in service" in log
    assert "connecting anew" not in log


def test_a_job_whose_gpu_was_lost_is_tried_again_on_another(lab: Lab, machine: FakeMachine) -> None:
    lab.add_agent("box", "--max-jobs", "4", environment=machine.env)
    retry = "{max: 1, on: [gpu], backoff: {seconds: 0}}"
    run = lab.submit(lab.write_flow(job("train", hold(lab), resources="{gpus: 1}", retry=retry)))
    assert gpu_of(lab, run, "train") == "GPU-a"
    machine.say_xid(0, 79)
    wait_for(
        lambda: [line for line in lab.lines(run, "train") if line == "has GPU-b"], "the try on another GPU"
    )
    (lab.folder / "gate").touch()
    assert lab.wait_for_run(run)["conclusion"] == "success"


def test_a_program_that_dies_first_of_a_lost_gpu_is_not_to_blame_and_one_on_a_gpu_that_is_well_is(
    lab: Lab, machine: FakeMachine
) -> None:
    """No daemon is there to see it: the job's supervisor looks."""
    lab.add_agent("box", "--max-jobs", "4", environment=machine.env)
    script = f"{hold(lab)}; exit 3"
    one = "{gpus: 1}"
    run = lab.submit(lab.write_flow(job("one", script, resources=one) + job("two", script, resources=one)))
    places = {gpu_of(lab, run, key): key for key in ("one", "two")}
    lab.kill("box")
    machine.lose(0)
    (lab.folder / "gate").touch()
    lab.start_agent("box", machine.env)
    lab.wait_for_run(run)
    ends = jobs_of(lab, run)
    lost, own = ends[places["GPU-a"]], ends[places["GPU-b"]]
    assert lost["failure_kind"] == "gpu"
    assert lost["message"].startswith("GPU GPU-a is out of service: it fell off the bus; ")
    assert (own["failure_kind"], "out of service" in own["message"]) == ("user", False)


def test_an_xid_of_a_program_costs_nobody_a_gpu_and_one_of_the_gpu_does(
    lab: Lab, machine: FakeMachine
) -> None:
    lab.add_agent("box", "--max-jobs", "4", environment=machine.env)
    run = lab.submit(lab.write_flow(job("train", hold(lab), resources="{gpus: 1}")))
    assert gpu_of(lab, run, "train") == "GPU-a"
    machine.say_xid(0, 31)
    wait_for(lambda: "GPU GPU-a: Xid 31" in lab.log_of("box"), "the log to say so")
    machine.say_xid(1, 63)
    reason = "broken memory waits for a reset to be replaced (Xid 63)"
    wait_for(lambda: shown(lab) == {"GPU-a": "", "GPU-b": reason}, "the server to know")
    assert jobs_of(lab, run)["train"]["status"] == "running"
    machine.say_xid(0, 95)
    ended = lab.wait_for_run(run)["jobs"][0]
    assert ended["failure_kind"] == "gpu"
    assert ended["message"].endswith("a memory error that can't be corrected or contained (Xid 95)")
    machine.unload()
    wait_for(
        lambda: all("Driver Not Loaded" in one or "Xid" in one for one in shown(lab).values()), "its loss"
    )
    machine.load()
    wait_for(lambda: shown(lab) == {"GPU-a": "", "GPU-b": ""}, "a driver that was loaded anew to be believed")


def test_an_instance_that_is_taken_away_and_a_gpu_that_is_added_are_seen(lab: Lab, nvml: Path) -> None:
    parts = [
        FakeInstance(f"NVIDIA H200 MIG {n}g.18gb", 18 * GIB, uuid=f"MIG-{n}", facts={"gi": n}) for n in (1, 2)
    ]
    machine = FakeMachine(nvml, [FakeGpu(uuid="GPU-a", instances=parts)])
    lab.add_agent("box", "--max-jobs", "4", environment=machine.env)
    wanted = "{gpus: {count: 1, model: mig}}"
    run = lab.submit(
        lab.write_flow(job("one", hold(lab), resources=wanted) + job("two", hold(lab), resources=wanted))
    )
    places = {gpu_of(lab, run, key): key for key in ("one", "two")}
    machine.say_xid(0, 94, instance=2)
    wait_for(lambda: jobs_of(lab, run)[places["MIG-2"]]["conclusion"], "the end of the job on the instance")
    assert jobs_of(lab, run)[places["MIG-1"]]["status"] == "running"
    machine.change(0, instances=[parts[1]])
    gone = wait_for(lambda: (found := jobs_of(lab, run)[places["MIG-1"]])["conclusion"] and found, "its end")
    assert gone["message"] == "MIG-1 is gone: its GPU was partitioned anew"
    machine.add(FakeGpu(uuid="GPU-new"))
    wait_for(lambda: set(shown(lab)) == {"MIG-2", "GPU-new"}, "the server to know what there is")
