"""What an admin of the server says of an agent counts at once, and needs no new registration."""

from typing import Any

import pytest
from server.vocabulary import INVENTORY, ONE_JOB, ServerProcess, TestAgent, wait_for

from agent.seal.identity import create_identity
from agent.spec.resources import to_json
from agent.wire import messages as m

GPU_JOB = ONE_JOB.replace("runs-on: linux", "runs-on: [linux, a-lab]")


@pytest.fixture
def agent(server: ServerProcess, make_agent: Any, request: pytest.FixtureRequest) -> TestAgent:
    found: TestAgent = make_agent(server, name=request.node.name[:80], token=server.registration())
    return found.connect(max_jobs=3)


def arrange(server: ServerProcess, agent: TestAgent, **words: Any) -> dict[str, Any]:
    answer = server.api.patch(f"/agents/{agent.id}", json=words)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_labels_are_changed_without_registering_again(server: ServerProcess, agent: TestAgent) -> None:
    run = server.submit(GPU_JOB)
    assert "a-lab" in arrange(server, agent, labels=["a-lab"])["labels"]
    assert agent.take().spec.run == run
    assert "a-lab" not in arrange(server, agent, labels=None)["labels"]


def test_what_was_said_is_shown(server: ServerProcess, agent: TestAgent) -> None:
    own = {"labels": None, "projects": None, "max_jobs": None, "draining": False, "address": ""}
    assert server.api.get(f"/agents/{agent.id}").json()["arranged"] == own
    said = {"labels": ["a-lab"], "projects": ["default"], "max_jobs": 2, "draining": False, "address": "a"}
    assert arrange(server, agent, **said)["arranged"] == said


def test_an_agent_that_is_drained_by_the_server_gets_no_job(server: ServerProcess, agent: TestAgent) -> None:
    assert arrange(server, agent, draining=True)["status"] == "draining"
    run = server.submit(ONE_JOB)
    wait_for(lambda: "draining" in server.job(run)["waiting"], "the reason")
    assert arrange(server, agent, draining=False)["status"] == "online"
    assert agent.hear(m.Assign).spec.run == run


def test_what_makes_no_sense_is_refused(server: ServerProcess, agent: TestAgent) -> None:
    for words in ({"max_jobs": 0}, {"labels": [""]}, {"colour": "red"}, {"projects": ["nowhere"]}):
        assert server.api.patch(f"/agents/{agent.id}", json=words).status_code in (400, 404, 422), words
    assert server.api.patch("/agents/agent_unknown", json={"draining": True}).status_code == 404


@pytest.mark.parametrize("character", "\u202e\u2066\u200b\u2028\x1b\x85", ids=lambda one: f"{ord(one):04x}")
def test_no_name_of_an_agent_holds_a_character_that_nobody_sees(
    server: ServerProcess, agent: TestAgent, character: str
) -> None:
    name = f"a{character}b"
    for words in ({"labels": [name]}, {"group": name}, {"address": name}):
        assert server.api.patch(f"/agents/{agent.id}", json=words).status_code in (400, 422), words
    for more in ({"name": name}, {"labels": [name]}):
        body = {"token": server.registration(), "identity": create_identity().public.to_json(), "name": "box"}
        answer = server.http.post(
            "/api/v1/agents/register", json={**body, "inventory": to_json(INVENTORY), **more}
        )
        assert answer.status_code == 422, answer.text


def test_an_agent_that_is_drained_by_the_server_is_shown_so_wherever_agents_are_shown(
    server: ServerProcess, agent: TestAgent
) -> None:
    headers = {"Authorization": f"Bearer {server.token}", "Accept": "text/html"}

    def draining() -> tuple[int, float]:
        shown = server.http.get("/status", headers=headers).text.count(
            '<span class="state busy">draining</span>'
        )
        figures = server.http.get("/metrics", headers=headers).text
        (line,) = [
            line for line in figures.splitlines() if line.startswith('flow_agent_agents{state="draining"}')
        ]
        return shown, float(line.rpartition(" ")[2])

    assert draining() == (0, 0)
    arrange(server, agent, draining=True)
    assert draining() == (1, 1)
    arrange(server, agent, draining=False)
