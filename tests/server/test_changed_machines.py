"""A machine that changes while its agent is connected: what the agent says of it counts at once."""

from dataclasses import replace
from typing import Any

import pytest
from server.vocabulary import INVENTORY, ONE_JOB, ServerProcess, TestAgent, wait_for

from agent.spec.resources import Gpu, Inventory
from agent.wire import messages as m

TWO_GPUS = ONE_JOB.replace("runs-on: linux", "runs-on: linux\n    resources: {gpus: 2}")
GPUS = tuple(Gpu(index, f"GPU-{index}", "NVIDIA H200") for index in range(2))


def with_gpus(*gpus: Gpu) -> Inventory:
    return replace(INVENTORY, gpus=gpus)


@pytest.fixture
def agent(server: ServerProcess, make_agent: Any, request: pytest.FixtureRequest) -> TestAgent:
    found: TestAgent = make_agent(server, name=request.node.name[:80], token=server.registration())
    return found.connect()


def test_a_gpu_that_was_added_is_given_and_its_label_is_known(
    server: ServerProcess, agent: TestAgent
) -> None:
    run = server.submit(TWO_GPUS)
    wait_for(lambda: server.job(run)["waiting"].startswith("no agent has 2 GPUs"), "the reason")
    agent.protocol.inventory(m.NewInventory(with_gpus(*GPUS), ("h200",)))
    agent.flush()
    assert agent.take().gpus == ("GPU-0", "GPU-1")
    shown = server.api.get(f"/agents/{agent.id}").json()
    assert "h200" in shown["labels"]
    assert [gpu["uuid"] for gpu in shown["inventory"]["gpus"]] == ["GPU-0", "GPU-1"]


def test_a_waiting_job_reads_why_a_gpu_is_withheld_and_runs_when_it_is_offered_again(
    server: ServerProcess, agent: TestAgent
) -> None:
    lost = replace(GPUS[1], withheld="it fell off the bus")
    agent.protocol.inventory(m.NewInventory(with_gpus(GPUS[0], lost), ()))
    agent.flush()
    run = server.submit(TWO_GPUS)
    why = "1 of 2 GPUs is withheld: GPU 1 (it fell off the bus)"
    wait_for(lambda: server.job(run)["waiting"].endswith(f"; {why}"), "the reason")
    shown = server.api.get(f"/agents/{agent.id}").json()["inventory"]["gpus"]
    assert [gpu["withheld"] for gpu in shown] == ["", "it fell off the bus"]
    agent.protocol.inventory(m.NewInventory(with_gpus(*GPUS), ()))
    agent.flush()
    assert agent.take().gpus == ("GPU-0", "GPU-1")
