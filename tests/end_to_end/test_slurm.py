"""An agent whose jobs go to Slurm: through a real server, a real agent, and a real Slurm with its nodes on this machine."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lab import Lab, wait_for
from support.slurm import Slurm, running_slurm

from agent.job.launch.launcher import list_job_folders
from agent.job.launch.lines import read_lines

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    """One cluster for the tests of this file that leave it as it was."""
    with running_slurm() as cluster:
        yield cluster


def job(name: str, script: str, **keys: str) -> str:
    keys = {"runs-on": "slurm", **{key.replace("_", "-"): value for key, value in keys.items()}}
    lines = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    return f"  {name}:\n{lines}    steps:\n      - run: |\n          {script}\n"


def test_a_job_runs_in_an_allocation_with_what_it_asked_for(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", environment=slurm.environment)
    show = 'echo "in $SLURM_JOB_ID on $SLURMD_NODENAME: $SLURM_CPUS_PER_TASK cpus, $SLURM_MEM_PER_NODE MB, GPUs [$CUDA_VISIBLE_DEVICES]"'
    run = lab.submit(lab.write_flow(job("train", show, resources="{cpus: 3, memory: 1GB}")))
    done = lab.wait_for_run(run)
    assert done["conclusion"] == "success", done
    (said,) = [line for line in lab.lines(run, "train") if line.startswith("in ")]
    number = said.split()[1]
    assert f"{number} COMPLETED" in wait_for(
        lambda: [line for line in slurm.list_jobs() if line == f"{number} COMPLETED"], "Slurm's word"
    )
    assert "3 cpus, 954 MB, GPUs []" in said


def test_the_gpus_of_a_job_are_those_that_slurm_names(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", environment=slurm.environment)
    show = 'echo "has $AGENT_GPUS, sees $CUDA_VISIBLE_DEVICES, on $SLURMD_NODENAME"'
    both = lab.submit(lab.write_flow(job("train", show, resources="{gpus: {count: 2, model: a100}}")))
    assert lab.wait_for_run(both)["conclusion"] == "success"
    assert "has 0,1, sees 0,1, on n1" in lab.lines(both, "train")
    by_label = lab.submit(lab.write_flow(job("train", show).replace("slurm\n", "[slurm, a100]\n")))
    assert lab.wait_for_run(by_label)["conclusion"] == "success"
    assert any(line.startswith("has ") and len(line.split()[1]) == 2 for line in lab.lines(by_label, "train"))
    more = lab.submit(lab.write_flow(job("train", show, resources="{gpus: 3}")))
    waits = "no agent has 3 GPUs; the biggest that matches, head, has 2 × a100, 16 cpus and 67 GB of memory"
    wait_for(lambda: lab.run(more)["jobs"][0]["waiting"] == waits, "the reason")


def test_a_gpu_job_whose_node_names_no_gpu_does_not_run(lab: Lab) -> None:
    with running_slurm(
        is_gpu_real=False
    ) as slurm:  # Slurm takes plain files for GPUs, and says nothing but their number
        lab.add_agent("head", environment=slurm.environment)
        touch = f"touch {lab.folder}/has-run"
        run = lab.submit(lab.write_flow(job("train", touch, resources="{gpus: 1}")))
        (train,) = lab.wait_for_run(run)["jobs"]
        assert (train["conclusion"], train["failure_kind"]) == ("failure", "infrastructure")
        assert train["message"].startswith("Slurm names no GPU that the job asked for, on n1:")
        assert not (lab.folder / "has-run").exists()


def test_a_job_is_cancelled_whether_it_waits_in_slurm_or_runs(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", environment=slurm.environment)
    hold = f"trap 'echo told; exit 0' INT; touch {lab.folder}/runs; sleep 600 & wait"
    run = lab.submit(
        lab.write_flow(job("first", hold, resources="{gpus: 2}") + job("second", hold, resources="{gpus: 2}"))
    )
    wait_for((lab.folder / "runs").exists, "one of them to run")
    wait_for(lambda: len(slurm.list_jobs("--states=PENDING")) == 1, "the other to wait")
    assert lab.agent("run", "cancel", str(run)).code == 0
    done = lab.wait_for_run(run)
    assert {one["conclusion"] for one in done["jobs"]} == {"cancelled"}
    said = [line for name in ("first", "second") for line in lab.lines(run, name)]
    assert "told" in said
    wait_for(lambda: not slurm.ask("squeue", "-h"), "an empty queue")


def test_a_job_that_waits_in_slurm_says_why(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", environment=slurm.environment)
    slurm.ask("scontrol", "update", "PartitionName=main", "State=DOWN")
    try:
        run = lab.submit(lab.write_flow(job("train", "true")))
        wait_for(
            lambda: (
                str(lab.run(run)["jobs"][0]["waiting"]).startswith("waits in Slurm (job ")
                and lab.run(run)["jobs"][0]["waiting"].endswith("): PartitionDown")
            ),
            "the reason of Slurm",
        )
    finally:
        slurm.ask("scontrol", "update", "PartitionName=main", "State=UP")
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert not lab.run(run)["jobs"][0]["waiting"]


def test_the_time_limit_of_the_partition_ends_a_job_well(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", environment=slurm.environment)
    steps = "sleep 600\n      - if: always()\n        run: echo saved"
    run = lab.submit(lab.write_flow(job("train", steps).replace("slurm\n", "slurm-short\n")))
    (train,) = lab.wait_for_run(run)["jobs"]
    assert train["failure_kind"] == "timeout", train
    assert train["message"].startswith("Slurm's time limit of the job is")
    assert "saved" in lab.lines(run, "train")


def test_our_own_timeout_comes_before_slurms(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", environment=slurm.environment)
    run = lab.submit(lab.write_flow(job("train", "sleep 600", timeout_minutes="0.02")))
    (train,) = lab.wait_for_run(run)["jobs"]
    assert (train["conclusion"], train["failure_kind"]) == ("cancelled", "timeout")
    assert "maximum execution time of 0.02 minutes" in train["message"]


@pytest.mark.parametrize("how", ["scancel", "preempted"])
def test_what_slurm_does_to_a_job_is_what_it_ends_as(lab: Lab, slurm: Slurm, how: str) -> None:
    lab.add_agent("head", environment=slurm.environment)
    run = lab.submit(
        lab.write_flow(job("train", f"touch {lab.folder}/runs; sleep 600", resources="{gpus: 2}"))
    )
    wait_for((lab.folder / "runs").exists, "the job to run")
    (number,) = (line.split()[0] for line in slurm.list_jobs("--states=RUNNING"))
    if how == "scancel":
        slurm.ask("scancel", number)
    else:
        slurm.ask("sbatch", "-p", "urgent", "--gres=gpu:2", "-o", "/dev/null", "--wrap", "true")
    (train,) = lab.wait_for_run(run)["jobs"]
    told = {
        "scancel": ("cancelled", "cancelled", "the job was cancelled in Slurm (scancel)"),
        "preempted": ("failure", "lost", "Slurm has preempted the job"),
    }
    assert (train["conclusion"], train["failure_kind"], train["message"]) == told[how]


def test_a_supervisor_whose_allocation_is_killed_ends_its_job(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", environment=slurm.environment)
    run = lab.submit(lab.write_flow(job("train", f"touch {lab.folder}/runs; sleep 600")))
    wait_for((lab.folder / "runs").exists, "the job to run")
    (folder,) = list_job_folders(lab.state("head") / "jobs")
    (begun,) = wait_for(lambda: read_lines(folder, "allocation"), "its allocation's word")
    os.kill(begun["pid"], signal.SIGKILL)
    (train,) = lab.wait_for_run(run)["jobs"]
    assert (train["conclusion"], train["message"]) == ("cancelled", "the supervisor was told to end")


def test_a_job_whose_node_fails_is_lost_in_slurms_words(lab: Lab) -> None:
    with running_slurm(node_timeout=5) as slurm:
        lab.add_agent("head", environment=slurm.environment)
        run = lab.submit(lab.write_flow(job("train", f"touch {lab.folder}/runs; sleep 600")))
        wait_for((lab.folder / "runs").exists, "the job to run")
        (line,) = slurm.ask("squeue", "-h", "-o", "%N").splitlines()
        (folder,) = list_job_folders(lab.state("head") / "jobs")
        (begun,) = wait_for(lambda: read_lines(folder, "allocation"), "its allocation's word")
        os.kill(begun["pid"], signal.SIGSTOP)  # nothing there has time for a last word
        lab.kill_supervisors("head")
        slurm.kill_node(line, begun["pid"])
        (train,) = lab.wait_for_run(run)["jobs"]
        assert (train["conclusion"], train["failure_kind"]) == ("failure", "lost")
        assert train["message"] == "a node of the job failed, says Slurm"


def test_jobs_go_on_while_the_daemon_is_away_and_the_next_one_takes_them_over(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", environment=slurm.environment)
    gate = lab.folder / "gate"
    hold = f"echo begun; touch {lab.folder}/$GITHUB_JOB; until [ -e {gate} ]; do sleep 0.05; done; echo ended"
    names = ("runs", "waits")
    run = lab.submit(lab.write_flow("".join(job(name, hold, resources="{gpus: 2}") for name in names)))
    wait_for(lambda: len(slurm.list_jobs("--states=PENDING")) == 1, "one to wait in Slurm")
    wait_for(lambda: any((lab.folder / name).exists() for name in names), "the other to run")
    lab.kill("head")
    gate.touch()
    wait_for(lambda: not slurm.ask("squeue", "-h"), "both to end without anybody")
    lab.start_agent("head", slurm.environment)
    assert lab.wait_for_run(run)["conclusion"] == "success"
    for name in names:
        assert [line for line in lab.lines(run, name) if line in ("begun", "ended")] == ["begun", "ended"]


def test_sixty_four_jobs_end_once_each_though_the_controller_is_restarted_in_the_middle(
    lab: Lab, slurm: Slurm
) -> None:
    lab.add_agent("head", environment=slurm.environment)
    count = f"echo x >> {lab.folder}/count-${{{{ matrix.n }}}}; seq 200; touch {lab.folder}/begun"
    flow = (
        f"  cell:\n    runs-on: slurm\n    strategy:\n      matrix:\n        n: [{', '.join(map(str, range(64)))}]\n"
        f"    steps:\n      - run: {count}\n"
    )
    run = lab.submit(lab.write_flow(flow))
    wait_for((lab.folder / "begun").exists, "some to have begun")
    slurm.restart_controller()
    done = lab.wait_for_run(run)
    assert done["conclusion"] == "success"
    said: dict[str, list[str]] = {one["key"]: [] for one in done["jobs"]}
    for record in lab.agent("run", "logs", str(run), "--format", "json").records():
        if record["kind"] == "log":
            said[record["job"]].append(record["text"])
    assert len(said) == 64
    for number, lines in enumerate(said.values()):
        assert (lab.folder / f"count-{number}").read_text() == "x\n"
        first = lines.index("1")
        assert lines[first : first + 200] == [str(one) for one in range(1, 201)]
        assert lines.count("200") == 1


def test_nothing_of_a_job_lives_on_in_its_node(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", environment=slurm.environment)
    stray = f"setsid sh -c 'echo $$ > {lab.folder}/pid; exec env -i sleep 1000' & until [ -s {lab.folder}/pid ]; do sleep 0.05; done"
    run = lab.submit(lab.write_flow(job("train", stray)))
    assert lab.wait_for_run(run)["conclusion"] == "success"
    pid = int((lab.folder / "pid").read_text())
    assert not Path(f"/proc/{pid}/exe").exists()


def test_what_slurm_refuses_ends_the_job_with_its_words(lab: Lab, slurm: Slurm) -> None:
    environment = {**slurm.environment, "AGENT_SLURM_OPTIONS": "--constraint=nowhere"}
    lab.add_agent("head", environment=environment)
    run = lab.submit(lab.write_flow(job("train", "true")))
    (train,) = lab.wait_for_run(run)["jobs"]
    assert (train["conclusion"], train["failure_kind"]) == ("failure", "infrastructure")
    assert train["message"] == "Slurm does not take the job: Invalid feature specification"


def test_jobs_that_a_killed_controller_has_lost_are_handed_over_again_and_run_once(
    lab: Lab, slurm: Slurm
) -> None:
    lab.add_agent("head", environment=slurm.environment)
    slurm.ask("scontrol", "update", "PartitionName=main", "State=DOWN")
    try:
        before = set(slurm.list_jobs())
        cells = range(8)
        run = lab.submit(lab.write_flow("".join(job(f"j{n}", f"echo x >> {lab.folder}/{n}") for n in cells)))
        wait_for(lambda: len(set(slurm.list_jobs()) - before) == len(cells), "all of them in Slurm")
        slurm.kill_controller()  # before it has saved them
        slurm.start_controller()
    finally:
        slurm.ask("scontrol", "update", "PartitionName=main", "State=UP")
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert [(lab.folder / str(n)).read_text() for n in cells] == ["x\n"] * len(cells)


def test_the_nodes_of_a_job_are_one_allocation_and_each_knows_its_place(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", environment=slurm.environment)
    say = 'echo "node $AGENT_NODE_RANK of $AGENT_NODES, job $SLURM_JOB_ID on $SLURMD_NODENAME, master $MASTER_ADDR:$MASTER_PORT"'
    run = lab.submit(lab.write_flow(job("train", say, nodes="2", resources="{cpus: 2}")))
    done = lab.wait_for_run(run)
    assert done["conclusion"] == "success", done
    nodes = [one["key"] for one in done["jobs"]]
    assert nodes == ["train", "train [node 2 of 2]"]
    said = [line for node in nodes for line in lab.lines(run, node) if line.startswith("node ")]
    places, rest = zip(*(line.split(", job ") for line in said), strict=True)
    assert places == ("node 0 of 2", "node 1 of 2")
    assert {line.split()[0] for line in rest} == {rest[0].split()[0]}
    assert {line.split(" on ")[1].split(",")[0] for line in rest} == {"n1", "n2"}
    assert len({line.partition(", master ")[2] for line in rest}) == 1
    assert rest[0].partition(", master ")[2].split(":")[0]


def test_a_node_that_fails_ends_its_whole_allocation(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", environment=slurm.environment)
    script = "if [ $AGENT_NODE_RANK = 1 ]; then exit 3; fi; sleep 600"
    run = lab.submit(lab.write_flow(job("train", script, nodes="2")))
    first, second = lab.wait_for_run(run)["jobs"]
    assert (first["conclusion"], second["conclusion"]) == ("failure", "failure")
    assert first["message"].startswith("node 2 of 2: ")
    wait_for(lambda: not slurm.ask("squeue", "-h"), "an empty queue")


def test_a_gang_waits_for_slots_of_its_cluster_and_says_so(lab: Lab, slurm: Slurm) -> None:
    lab.add_agent("head", "--max-jobs", "2", environment=slurm.environment)
    run = lab.submit(lab.write_flow(job("train", "true", nodes="3")))
    reason = "the job wants 3 slots at once, and head has 2 now"
    wait_for(lambda: lab.run(run)["jobs"][0]["waiting"] == reason, "the reason")
