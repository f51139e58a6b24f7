"""Named flows that are run by another text than their own; inputs that say what they are; Gradient's files in a repository."""

from collections.abc import Callable
from typing import Any

import pytest
from server.triggers.lab import Lab
from server.vocabulary import ServerProcess, TestAgent

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]
Labs = Callable[..., Lab]

COUNT = """\
inputs:
  data: {type: dataset}
  echo: {type: string, with: {value: nothing}}
jobs:
  count:
    inputs: {echo: workflow.inputs.echo}
    uses: container@v1
    with: {image: "bash:5", command: bash, args: ["-c", "cat /inputs/echo"]}
"""
OTHER = COUNT.replace("cat /inputs/echo", "wc /inputs/echo")


def last_args(agent: TestAgent) -> Any:
    """What the next job's container is told."""
    assign = agent.take()
    (step,) = [step for step in assign.spec.steps if (step.uses or "").startswith("docker://")]
    return assign, step.with_["args"][-1]


def test_a_flow_is_run_by_its_own_text_or_by_another_which_may_become_its_own(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    assert server.api.put("/flows/count", json={"text": COUNT}).status_code == 200
    agent = make_agent(server).connect(max_jobs=9)
    body: dict[str, Any] = {"inputs": {"data": {"id": "images"}}}
    runs = []
    for more in ({}, {"spec": {"text": OTHER}}, {}, {"spec": {"text": OTHER}, "make_default": True}, {}):
        answer = server.api.post("/flows/count/dispatch", json={**body, **more})
        assert answer.status_code == 201, answer.text
        runs.append(answer.json()["run"])
    taken = [last_args(agent) for _ in runs]
    assert [assign.spec.run for assign, _ in taken] == runs
    assert [args.partition(" ")[0] for _, args in taken] == ["cat", "wc", "cat", "wc", "wc"]
    assert {server.api.get(f"/runs/{run}").json()["file"] for run in runs} == {"count"}
    assert server.api.get("/flows/count").json()["text"] == OTHER


def test_a_text_that_does_not_start_becomes_no_default(make_server: Servers) -> None:
    server = make_server()
    server.api.put("/flows/count", json={"text": COUNT})
    for wrong, said in (
        ({"spec": {"text": OTHER}}, "Input data is required"),
        (
            {"spec": {"text": OTHER.replace("container@v1", "contaner@v1")}, "inputs": {"data": "d"}},
            "no action",
        ),
        ({"inputs": {"data": "d"}}, "no spec"),
    ):
        answer = server.api.post("/flows/count/dispatch", json={**wrong, "make_default": True})
        assert (answer.status_code, said in answer.text) == (422, True), answer.text
    assert server.api.get("/flows/count").json()["text"] == COUNT


@pytest.mark.parametrize(
    ("inputs", "echo"),
    [
        ({"data": "images"}, "nothing"),
        ({"data": {"id": "images:3"}, "echo": {"value": "hi"}}, "hi"),
        ({"inputs": {"data": {"id": "images"}, "echo": {"value": 5}}}, "5"),
    ],
)
def test_inputs_are_plain_values_or_say_what_they_are(
    inputs: Any, echo: str, make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    flow = {"file": "count.yaml", "text": COUNT}
    answer = server.api.post("/runs", json={"flow": flow, "inputs": inputs})
    assert answer.status_code == 201, answer.text
    (bring,) = make_agent(server).connect().take().spec.brings
    assert (bring.of, bring.path) == (echo, "inputs/echo")


def test_wrong_inputs_are_told_with_their_names_before_anything_starts(make_server: Servers) -> None:
    server = make_server()
    flow = {"file": "count.yaml", "text": COUNT}
    for inputs, said in (
        ({}, "Input data is required, but not provided. (count.yaml:2:9)"),
        ({"data": {"value": "x"}}, "Input data is a dataset: give its 'id', not value."),
        ({"data": "d", "ecko": "x"}, "ecko is not defined in the flow"),
    ):
        answer = server.api.post("/runs", json={"flow": flow, "inputs": inputs})
        assert answer.status_code == 422
        problem = answer.json()
        assert said in f"{problem['detail']} ({problem.get('where', '')})" or said in answer.text, answer.text
    assert server.api.get("/runs").json()["runs"] == []


def test_files_of_gradient_in_a_repository_start_by_pushes_at_the_pushed_commit(
    make_lab: Labs, make_agent: Agents
) -> None:
    lab = make_lab()
    text = "on: {github: {branches: {only: main}}}\n" + COUNT.replace(
        "{type: dataset}", "{type: dataset, with: {ref: d}}"
    )
    delivery = lab.push({".gradient/workflows/count.yaml": text, ".gradient/workflows/values.txt": "no flow"})
    started = {one["flow"]: one["run"] for one in delivery["results"]}
    assert started[".gradient/workflows/count.yaml"]
    run = lab.server.api.get(f"/runs/{started['.gradient/workflows/count.yaml']}").json()
    assert (run["event"], run["source"]["commit"]) == ("push", lab.repository.head)
    refused = lab.push({".gradient/workflows/count.yaml": text.replace("container@v1", "container@v9")})
    (told,) = [one for one in refused["results"] if one["flow"].startswith(".gradient")]
    assert told["run"] is None
    assert "there is no action 'container@v9'" in told["problems"][0]
    assert told["problems"][0].startswith(".gradient/workflows/count.yaml:8:11")
