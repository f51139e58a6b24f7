"""`agent server agent`: an admin looks after the agents of all machines from the command line."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from server.vocabulary import ServerProcess, TestAgent, wait_for
from support.commands import clients_closed

from agent.cli.main import run_command

Say = Callable[..., str]


@pytest.fixture
def agent(server: ServerProcess, make_agent: Any, request: pytest.FixtureRequest) -> TestAgent:
    return make_agent(server, name=request.node.name[:60]).connect(max_jobs=3)


@pytest.fixture
def say(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> Iterator[Say]:
    def run(*words: str, code: int = 0) -> str:
        where = ["--url", server.url, "--token", server.token]
        assert run_command(["server", "agent", *words, *where]) == code
        out, err = capsys.readouterr()
        return err if code else out

    with clients_closed():
        yield run


def test_what_an_admin_says_counts_and_is_shown(say: Say, agent: TestAgent) -> None:
    words = ("labels=a100, fast-disk", "projects=default", "max_jobs=2", "group=lab", "address=10.0.0.4")
    said = json.loads(say("set", agent.name, *words, "--format", "json"))
    assert (said["group"], said["max_jobs"]) == ("lab", 2)
    assert said["arranged"] == {
        "labels": ["a100", "fast-disk"],
        "projects": ["default"],
        "max_jobs": 2,
        "draining": False,
        "address": "10.0.0.4",
    }
    shown = say("show", agent.id)
    assert agent.name in shown
    assert "fast-disk  (set here)" in shown
    undone = say("set", agent.name, "labels=none", "projects=none", "max_jobs=none", "group=none")
    assert "projects  all" in undone
    assert "a100" not in undone


def test_agents_are_listed_by_how_they_are(say: Say, server: ServerProcess, agent: TestAgent) -> None:
    (line,) = [line for line in say("list").splitlines() if line.startswith(agent.name)]
    assert "online" in line
    assert "0 of 3" in line
    agent.disconnect()
    wait_for(lambda: server.api.get(f"/agents/{agent.id}").json()["status"] == "offline", "it to be offline")
    offline = json.loads(say("list", "--status", "offline", "--format", "json"))
    assert agent.id in [row["id"] for row in offline]
    assert agent.name not in say("list", "--status", "online")


def test_an_agent_is_drained_and_let_go(say: Say, server: ServerProcess, agent: TestAgent) -> None:
    assert "gets no new jobs" in say("drain", agent.name)
    assert server.api.get(f"/agents/{agent.id}").json()["status"] == "draining"
    assert "gets new jobs" in say("drain", agent.name, "--undo")
    assert "is removed" in say("remove", agent.name)
    assert server.api.get(f"/agents/{agent.id}").status_code == 404


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("show", "nobody"), 1, "there is no agent 'nobody'"),
        (("set", "box", "colour=red"), 2, "there are labels"),
        (("set", "box", "max_jobs=many"), 2, "whole number"),
        (("set", "box", "labels"), 2, "NAME=VALUE"),
        (("set", "box"), 2, "required"),
    ],
)
def test_what_makes_no_sense_is_said(say: Say, words: tuple[str, ...], code: int, complaint: str) -> None:
    assert complaint in say(*words, code=code)
