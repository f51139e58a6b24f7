"""A machine that changes while its agent is connected: what the agent says of it counts at once."""

import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from server.vocabulary import INVENTORY, ONE_JOB, ServerProcess, TestAgent, wait_for
from support.lab import run_agent

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
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "text/html"}
    assert why in server.http.get("/status", headers=headers).text
    shown = server.api.get(f"/agents/{agent.id}").json()["inventory"]["gpus"]
    assert [gpu["withheld"] for gpu in shown] == ["", "it fell off the bus"]
    agent.protocol.inventory(m.NewInventory(with_gpus(*GPUS), ()))
    agent.flush()
    assert agent.take().gpus == ("GPU-0", "GPU-1")


def test_who_follows_a_project_hears_of_a_machine_that_changes_and_of_no_other(
    server: ServerProcess, agent: TestAgent
) -> None:
    url = f"{server.url}/api/v1/events"
    with httpx.stream("GET", url, headers={"Authorization": f"Bearer {server.token}"}, timeout=30) as stream:
        lines = stream.iter_lines()
        next(lines)  # it listens
        lost = replace(GPUS[1], withheld="it fell off the bus")
        for inventory in (with_gpus(*GPUS), with_gpus(*GPUS), with_gpus(GPUS[0], lost)):
            agent.protocol.inventory(m.NewInventory(inventory, ()))
            agent.flush()
        told = []
        while not told or not told[-1]["gpus"][1]["withheld"]:
            line = next(lines)
            if line == "event: agent":
                told.append(json.loads(next(lines).removeprefix("data: ")))
    assert {one["name"] for one in told} == {agent.name}
    assert len(told) <= 2, "what stays as it was is not told again"
    assert [gpu["uuid"] for gpu in told[-1]["gpus"]] == ["GPU-0", "GPU-1"]
    assert told[-1]["gpus"][1]["withheld"] == "it fell off the bus"


def test_an_agent_is_shown_with_what_is_withheld_on_the_command_line(
    server: ServerProcess, agent: TestAgent
) -> None:
    lost = replace(GPUS[1], withheld="it fell off the bus")
    agent.protocol.inventory(m.NewInventory(with_gpus(GPUS[0], lost), ()))
    agent.flush()
    environment = {"AGENT_URL": server.url, "AGENT_TOKEN": server.token}
    why = "1 of 2 GPUs is withheld: GPU 1 (it fell off the bus)"
    words = ("server", "agent")
    wait_for(
        lambda: why in run_agent(*words, "show", agent.name, environment=environment).out,
        "the command to say so",
    )
    assert "2 (1 withheld)" in run_agent(*words, "list", environment=environment).out
