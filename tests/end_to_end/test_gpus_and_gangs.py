"""GPUs that belong to one job, and jobs that belong to several machines: through a real server and real agents."""

from pathlib import Path

import pytest
from support.lab import Lab, wait_for
from support.nvml import FakeGpu, build_nvml, nvml_env


@pytest.fixture
def two_gpus(tmp_path: Path) -> dict[str, str]:
    """The environment of an agent that has two GPUs."""
    return nvml_env(build_nvml(tmp_path / "nvml"), [FakeGpu(uuid="GPU-a"), FakeGpu(uuid="GPU-b")])


def job(name: str, script: str, **keys: str) -> str:
    lines = "".join(f"    {key}: {value}\n" for key, value in keys.items())
    return f"  {name}:\n    runs-on: self-hosted\n{lines}    steps:\n      - run: {script}\n"


def test_a_gpu_in_use_is_not_given_to_another_job(lab: Lab, two_gpus: dict[str, str]) -> None:
    lab.add_agent("box", "--max-jobs", "4", environment=two_gpus)
    gate = lab.folder / "gate"
    hold = f'echo "has $CUDA_VISIBLE_DEVICES"; until [ -e {gate} ]; do sleep 0.05; done'
    one = "{gpus: 1}"
    flow = lab.write_flow(
        job("one", hold, resources=one)
        + job("two", hold, resources=one)
        + job("three", hold, resources="{gpus: {count: 1, model: h200, memory: 100GB}}")
        + job("none", "echo has [$CUDA_VISIBLE_DEVICES]")
    )
    run = lab.submit(flow)

    def waits() -> bool:
        told = {one["key"]: one["waiting"] for one in lab.run(run)["jobs"]}
        return told["three"].startswith(
            "no agent has 1 free h200 GPU with 100 GB now; box will have when job "
        )

    wait_for(waits, "the third job to say what it waits for")
    gate.touch()
    assert lab.wait_for_run(run)["conclusion"] == "success"
    given = [line for name in ("one", "two") for line in lab.lines(run, name) if line.startswith("has ")]
    assert sorted(given) == ["has GPU-a", "has GPU-b"]
    assert {"has []", "GPUs: none; `resources: {gpus: 1}` sets one aside for a job"} <= set(
        lab.lines(run, "none")
    )


def test_a_gpu_that_falls_off_is_given_to_nobody_and_the_next_job_gets_another(
    lab: Lab, two_gpus: dict[str, str]
) -> None:
    lab.add_agent("box", "--max-jobs", "2", environment=two_gpus)
    flow = lab.write_flow(job("train", "echo has $AGENT_GPUS", resources="{gpus: 1}"))
    assert lab.wait_for_run(lab.submit(flow))["conclusion"] == "success"
    machine = Path(two_gpus["FLOW_TEST_NVML"])
    machine.write_text("".join(line for line in machine.read_text().splitlines(True) if "GPU-a" not in line))
    run = lab.submit(flow)
    assert lab.wait_for_run(run)["conclusion"] == "success"
    assert "has GPU-b" in lab.lines(run, "train")


def test_a_model_of_gpu_in_runs_on_asks_for_one(lab: Lab, two_gpus: dict[str, str]) -> None:
    lab.add_agent("box", environment=two_gpus)  # a slot a GPU, unless something else is said
    meet = (
        f"mkdir -p {lab.folder}/meeting && touch {lab.folder}/meeting/$AGENT_GPUS; echo has $CUDA_VISIBLE_DEVICES; "
        f"until [ $(ls {lab.folder}/meeting | wc -l) = 2 ]; do sleep 0.05; done"
    )
    both = "".join(job(name, meet).replace("self-hosted", "[self-hosted, h200]") for name in ("one", "two"))
    run = lab.submit(lab.write_flow(both))
    assert lab.wait_for_run(run)["conclusion"] == "success"
    given = [line for name in ("one", "two") for line in lab.lines(run, name) if line.startswith("has ")]
    assert sorted(given) == ["has GPU-a", "has GPU-b"]


GANG = 'echo "node $AGENT_NODE_RANK of $AGENT_NODES, master $MASTER_ADDR:$MASTER_PORT"'


def test_a_gang_begins_on_all_machines_at_once_and_each_node_knows_its_place(lab: Lab) -> None:
    lab.add_agent("a")
    run = lab.submit(lab.write_flow(job("train", GANG, nodes="2")))
    wait_for(
        lambda: lab.run(run)["jobs"][0]["waiting"] == "the job wants 2 machines at once, and 1 match",
        "the gang to say what it waits for",
    )
    lab.add_agent("b")
    assert lab.wait_for_run(run)["conclusion"] == "success"
    nodes = lab.run(run)["jobs"]
    assert [node["key"] for node in nodes] == ["train", "train [node 2 of 2]"]
    assert {node["agent"] for node in nodes} == {"a", "b"}
    said = [line for node in nodes for line in lab.lines(run, node["key"]) if line.startswith("node ")]
    first, second = (line.partition(", master ") for line in said)
    assert (first[0], second[0]) == ("node 0 of 2", "node 1 of 2")
    assert first[2] == second[2]


def test_a_node_that_fails_ends_the_others_and_the_job(lab: Lab) -> None:
    lab.add_agent("a")
    lab.add_agent("b")
    script = "if [ $AGENT_NODE_RANK = 1 ]; then exit 3; fi; sleep 600"
    run = lab.submit(lab.write_flow(job("train", script, nodes="2")))
    done = lab.wait_for_run(run)
    assert done["conclusion"] == "failure"
    first, second = done["jobs"]
    assert (first["conclusion"], second["conclusion"]) == ("failure", "failure")
    assert first["message"].startswith("node 2 of 2: ")
