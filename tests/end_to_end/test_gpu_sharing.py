"""GPUs that are not an agent's alone: its share of them, people who reserve one, processes from outside, jobs that share one."""

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.lab import Lab, wait_for
from support.nvml import GIB, FakeGpu, FakeInstance, build_nvml, nvml_env


@pytest.fixture(scope="module")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nvml(tmp_path_factory.mktemp("nvml"))


def gpus(count: int) -> list[FakeGpu]:
    return [FakeGpu(uuid=f"GPU-{index}") for index in range(count)]


def job(name: str, script: str, **keys: str) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    return f"  {name}:\n    runs-on: self-hosted\n{lines}    steps:\n      - run: {script}\n"


TELL = 'echo "has $AGENT_GPUS and sees [$CUDA_VISIBLE_DEVICES]"'


def told(lab: Lab, run: int, name: str) -> str:
    (line,) = (line for line in lab.lines(run, name) if line.startswith("has "))
    return line


def waiting(lab: Lab, run: int, name: str) -> str:
    (one,) = (one for one in lab.run(run)["jobs"] if one["key"] == name)
    return str(one["waiting"])


@contextmanager
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that is no job's."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_an_agent_offers_the_gpus_that_it_was_started_with(lab: Lab, nvml: Path) -> None:
    """The public case: four GPUs, CUDA_VISIBLE_DEVICES=2,3."""
    lab.add_agent(
        "box",
        *("--max-jobs", "4"),
        environment={**nvml_env(nvml, gpus(4)), "CUDA_VISIBLE_DEVICES": "2,3"},
    )
    both = job("both", TELL, resources="{gpus: 2}")
    flow = lab.write_flow(job("four", "echo no", resources="{gpus: 4}") + both + job("none", TELL))
    run = lab.submit(flow)
    why = "; 2 of 4 GPUs are offered (CUDA_VISIBLE_DEVICES=2,3)"
    wait_for(lambda: waiting(lab, run, "four").endswith(why), "the reason of the one that wants four")
    assert waiting(lab, run, "four").startswith(
        "no agent has 4 GPUs; the biggest that matches, box, has 2 × NVIDIA H200, "
    )
    wait_for(lambda: {one["key"]: one for one in lab.run(run)["jobs"]}["both"]["conclusion"], "both")
    assert told(lab, run, "both") == "has GPU-2,GPU-3 and sees [GPU-2,GPU-3]", (
        "all of the share, not all of it"
    )
    assert told(lab, run, "none") == "has  and sees []", "what the agent was started with is not the job's"
    assert [gpu["uuid"] for gpu in lab.agent_view("box")["inventory"]["gpus"]] == ["GPU-2", "GPU-3"]
    assert why.removeprefix("; ") in lab.agent("server", "agent", "show", "box").out


def test_two_agents_of_one_machine_have_shares_of_their_own(lab: Lab, nvml: Path) -> None:
    machine = nvml_env(nvml, gpus(4))
    for name, share in (("first", "0,GPU-1"), ("second", "2,3")):
        lab.add_agent(name, "--labels", name, environment={**machine, "AGENT_GPU_SHARE": share})
    jobs = "".join(
        job(name, TELL, resources="{gpus: 2}").replace("self-hosted", f"[self-hosted, {name}]")
        for name in ("first", "second")
    )
    run = lab.submit(lab.write_flow(jobs))
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert told(lab, run, "first") == "has GPU-0,GPU-1 and sees [GPU-0,GPU-1]"
    assert told(lab, run, "second") == "has GPU-2,GPU-3 and sees [GPU-2,GPU-3]"


def test_a_share_that_names_what_is_not_there_is_refused(lab: Lab, nvml: Path) -> None:
    machine = nvml_env(nvml, gpus(2))
    lab.register("box", environment=machine)
    done = lab.agent(
        *("start", "--gpus", "1,7"), environment={**machine, "AGENT_STATE": str(lab.state("box"))}
    )
    assert done.code == 2
    assert done.err.endswith("agent: this machine has no GPU '7' (--gpus); it has 0 (GPU-0), 1 (GPU-1)\n")


def test_a_reserved_gpu_is_not_given_until_it_is_freed_over_restarts_too(lab: Lab, nvml: Path) -> None:
    machine = nvml_env(nvml, gpus(2))
    lab.add_agent("box", environment=machine)
    state = {**machine, "AGENT_STATE": str(lab.state("box"))}
    gate = lab.folder / "gate"
    hold = f"until [ -e {gate} ]; do sleep 0.05; done; {TELL}"
    run = lab.submit(lab.write_flow(job("busy", hold, resources="{gpus: 2}")))
    (busy,) = lab.wait_for_run(run, "running")["jobs"]
    wait_for(lambda: lab.run(run)["jobs"][0]["status"] == "running", "the job to run")
    done = lab.agent("reserve", "1", "--for", "2h", "--by", "ada", "--why", "a demo", environment=state)
    assert done.code == 0, done.err
    assert done.out.startswith("GPU 1 (GPU-1) is reserved by ada until ")
    assert done.out.endswith(f": a demo. It is free when job {busy['id']} has ended, which is still on it.\n")
    gate.touch()
    assert lab.wait_for_run(run)["conclusion"] == "success", "what runs there goes on"
    both = lab.submit(lab.write_flow(job("both", TELL, resources="{gpus: 2}")))
    one = lab.submit(lab.write_flow(job("one", TELL, resources="{gpus: 1}"), "one"))
    why = "1 of 2 GPUs is withheld: GPU 1 (reserved by ada until "
    wait_for(lambda: why in waiting(lab, both, "both"), "the reason of the one that wants both")
    assert lab.wait_for_run(one)["conclusion"] == "success"
    assert told(lab, one, "one").startswith("has GPU-0 ")
    lab.kill("box")
    lab.start_agent("box", machine)
    (kept,) = lab.agent("reserve", "--list", "--format", "json", environment=state).json()["reservations"]
    assert (kept["gpu"], kept["holder"], kept["why"]) == ("GPU-1", "ada", "a demo")
    assert "no job is given it: reserved by ada until " in lab.agent("status", environment=state).out
    assert why in waiting(lab, both, "both")
    freed = lab.agent("reserve", "GPU-1", "--free", environment=state)
    assert (freed.code, freed.out) == (0, "GPU 1 (GPU-1) is for jobs again.\n")
    assert lab.wait_for_run(both)["conclusion"] == "success"


def test_a_gpu_on_which_somebody_else_computes_is_not_given(lab: Lab, nvml: Path) -> None:
    with stranger() as process:
        machine = nvml_env(nvml, [FakeGpu(uuid="GPU-0", process_ids=[process.pid]), FakeGpu(uuid="GPU-1")])
        lab.add_agent("box", environment=machine)
        name = Path(f"/proc/{process.pid}/comm").read_text().strip()
        why = f"GPU 0 (process {process.pid} ({name}, of {getpass.getuser()}) computes on it)"
        both = lab.submit(lab.write_flow(job("both", TELL, resources="{gpus: 2}")))
        wait_for(lambda: waiting(lab, both, "both").endswith(why), "the reason")
        one = lab.submit(lab.write_flow(job("one", TELL, resources="{gpus: 1}"), "one"))
        assert lab.wait_for_run(one)["conclusion"] == "success"
        assert told(lab, one, "one") == "has GPU-1 and sees [GPU-1]"
    assert lab.wait_for_run(both)["conclusion"] == "success", "it has gone, and the agent has noticed"


def set_processes(machine: dict[str, str], *pids: int) -> None:
    """Who computes on the only GPU, from now on."""
    file = Path(machine["FLOW_TEST_NVML"])
    lines = [
        f"{line.rpartition('|')[0]}|{','.join(map(str, pids))}" if line.startswith("gpu|") else line
        for line in file.read_text().splitlines()
    ]
    new = file.with_suffix(".new")
    new.write_text("\n".join(lines) + "\n")
    new.replace(file)


def test_a_process_that_comes_while_the_agent_runs_is_noticed_without_a_job(lab: Lab, nvml: Path) -> None:
    machine = nvml_env(nvml, gpus(1))
    lab.add_agent("box", environment=machine)

    def withheld() -> str:
        return str(lab.agent_view("box")["inventory"]["gpus"][0]["withheld"])

    assert withheld() == ""
    with stranger() as process:
        set_processes(machine, process.pid)
        wait_for(lambda: withheld().startswith(f"process {process.pid} ("), "the server to hear of it")
        run = lab.submit(lab.write_flow(job("one", TELL, resources="{gpus: 1}")))
        wait_for(lambda: "1 of 1 GPU is withheld" in waiting(lab, run, "one"), "the reason")
        checks = lab.agent(
            "doctor", "--format", "json", environment={**machine, "AGENT_STATE": str(lab.state("box"))}
        ).json()["checks"]
        found = [one["found"] for one in checks if one["check"] == "gpu share"]
        assert any(one.startswith(f"no job is given GPU 0: process {process.pid} (") for one in found), found
    assert lab.wait_for_run(run)["conclusion"] == "success"


def test_a_process_of_the_job_is_no_stranger(lab: Lab, nvml: Path) -> None:
    machine = nvml_env(nvml, gpus(1))
    lab.add_agent("box", "--max-jobs", "2", environment=machine)
    gate, here = lab.folder / "gate", lab.folder / "here"
    hold = f"echo $$ > {here}.new; mv {here}.new {here}; until [ -e {gate} ]; do sleep 0.05; done"
    part = "{gpus: {memory: 10GB, share: true}}"
    first = lab.submit(lab.write_flow(job("first", hold, resources=part)))
    wait_for(here.exists, "the job to run")
    set_processes(machine, int(here.read_text()))
    second = lab.submit(lab.write_flow(job("second", TELL, resources=part), "second"))
    assert lab.wait_for_run(second)["conclusion"] == "success", "it is on the GPU with the first"
    gate.touch()
    assert lab.wait_for_run(first)["conclusion"] == "success"


def test_an_owner_may_let_jobs_beside_processes_from_outside(lab: Lab, nvml: Path) -> None:
    with stranger() as process:
        machine = nvml_env(nvml, [FakeGpu(uuid="GPU-0", process_ids=[process.pid])])
        lab.add_agent("box", environment={**machine, "AGENT_GPU_STRANGERS": "allow"})
        run = lab.submit(lab.write_flow(job("one", TELL, resources="{gpus: 1}")))
        assert lab.wait_for_run(run)["conclusion"] == "success"


def test_jobs_that_share_a_gpu_run_on_it_together_up_to_its_memory(lab: Lab, nvml: Path) -> None:
    gpu = FakeGpu(uuid="GPU-0", memory_bytes=80 * GIB)
    lab.add_agent("box", "--max-jobs", "4", environment=nvml_env(nvml, [gpu]))
    meeting, gate = lab.folder / "meeting", lab.folder / "gate"
    meeting.mkdir()
    hold = f"touch {meeting}/$GITHUB_JOB; until [ -e {gate} ]; do sleep 0.05; done; {TELL}"
    part = "{gpus: {memory: 40GB, share: true}}"
    run = lab.submit(
        lab.write_flow("".join(job(name, hold, resources=part) for name in ("one", "two", "three")))
    )
    wait_for(lambda: len(list(meeting.iterdir())) == 2, "two of them to be there together")
    late = next(one["key"] for one in lab.run(run)["jobs"] if not (meeting / one["key"]).exists())
    alone = lab.submit(lab.write_flow(job("alone", TELL, resources="{gpus: 1}"), "alone"))
    wait_for(
        lambda: waiting(lab, run, late).startswith("no agent has 1 free GPU with 40 GB to share now"),
        "the third to say what it waits for",
    )
    wait_for(lambda: waiting(lab, alone, "alone").startswith("no agent has 1 free GPU now"), "the other")
    gate.touch()
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert lab.wait_for_run(alone)["conclusion"] == "success"
    assert {told(lab, run, name)[:9] for name in ("one", "two", "three")} == {"has GPU-0"}


def test_instances_are_given_by_profile_and_named_by_their_uuids(lab: Lab, nvml: Path) -> None:
    name = "NVIDIA A100-SXM4-80GB"
    small = [FakeInstance(f"{name} MIG 1g.10gb", uuid=f"MIG-{letter}") for letter in "ab"]
    big = FakeInstance(f"{name} MIG 3g.40gb", 40 * GIB, uuid="MIG-c")
    lab.add_agent("box", environment=nvml_env(nvml, [FakeGpu(name, instances=[*small, big])]))
    run = lab.submit(
        lab.write_flow(
            job("two", TELL, resources="{gpus: {mig: 1g.10gb, count: 2}}")
            + job("big", TELL, resources="{gpus: {mig: 3g.40gb}}")
            + job("none", "echo no", resources="{gpus: {mig: 7g.80gb}}")
        )
    )
    wait_for(
        lambda: waiting(lab, run, "none").startswith("no agent has 1 MIG 7g.80gb instance; "), "the third"
    )
    for key, uuids in (("two", "MIG-a,MIG-b"), ("big", "MIG-c")):
        wait_for(lambda key=key: {one["key"]: one for one in lab.run(run)["jobs"]}[key]["conclusion"], key)
        assert told(lab, run, key) == f"has {uuids} and sees [{uuids}]"


def test_leftovers_of_a_dead_job_are_ended_before_the_next_has_the_gpu(lab: Lab, nvml: Path) -> None:
    """A process that its job's end did not reach: it is told by the mark that it carries, and by where it worked."""
    work = lab.state("box") / "work"
    environment = {
        **os.environ,
        "RUNNER_TRACKING_ID": "flow_job_00000000000000000000-1",
        "RUNNER_TEMP": f"{work}/job_00000000000000000000-1/_temp",
    }
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], env=environment)
    try:
        machine = nvml_env(nvml, [FakeGpu(uuid="GPU-0", process_ids=[left.pid])])
        lab.add_agent("box", environment=machine)
        run = lab.submit(lab.write_flow(job("one", TELL, resources="{gpus: 1}")))
        assert lab.wait_for_run(run)["conclusion"] == "success"
        assert left.wait(10) == -9
    finally:
        left.kill()
