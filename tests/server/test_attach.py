"""Who may attach to a job, through a server with agents of the protocol."""

import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

import pytest
from server.vocabulary import PATIENCE_SECONDS, ServerProcess, TestAgent
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from agent.wire import agent_side
from agent.wire import messages as m

Agents = Callable[..., TestAgent]


class Viewer:
    """A websocket with a ticket."""

    def __init__(self, server: ServerProcess, ticket: dict[str, Any], **headers: str) -> None:
        url = server.url.replace("http", "ws") + ticket["path"]
        given = {"Authorization": f"Bearer {ticket['ticket']}", **headers}
        self._stack = ExitStack()
        self.socket: ClientConnection = self._stack.enter_context(
            connect(url, additional_headers=given, compression=None, close_timeout=0.2, proxy=None)
        )

    def receive(self) -> bytes | dict[str, Any]:
        frame = self.socket.recv(timeout=PATIENCE_SECONDS)
        return frame if isinstance(frame, bytes) else json.loads(frame)

    def ending(self) -> dict[str, Any]:
        while True:
            said = self.receive()
            if isinstance(said, dict) and said["kind"] == "ended":
                return said

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def job(server: ServerProcess, make_agent: Agents) -> tuple[TestAgent, m.Assign]:
    """A job that an agent has begun with."""
    return begin(server, make_agent)


def begin(server: ServerProcess, make_agent: Agents, **more: Any) -> tuple[TestAgent, m.Assign]:
    begin.count += 1  # type: ignore[attr-defined]
    agent = make_agent(server, name=f"attach-{begin.count}", token=server.registration()).connect()  # type: ignore[attr-defined]
    run = server.submit(**more)
    assign = agent.take()
    server.wait_for_job(run, status="running")
    return agent, assign


begin.count = 0  # type: ignore[attr-defined]


def ask(server: ServerProcess, job: str, token: str = "", **body: Any) -> Any:
    with closing(server.as_user(token or server.token)) as api:
        return api.post(f"/jobs/{job}/attach", json=body)


def open_session(server: ServerProcess, agent: TestAgent, assign: m.Assign) -> tuple[Viewer, m.Attach]:
    answer = ask(server, assign.job, command=["echo", "hello"])
    assert answer.status_code == 201, answer.text
    viewer = Viewer(server, answer.json())
    return viewer, agent.hear(m.Attach)


def test_a_session_goes_both_ways_and_is_written_down(
    server: ServerProcess, job: tuple[TestAgent, m.Assign]
) -> None:
    agent, assign = job
    viewer, wish = open_session(server, agent, assign)
    assert (wish.job, wish.lease, wish.command) == (assign.job, assign.lease, ("echo", "hello"))
    agent.protocol.attach_opened(wish.session)
    agent.protocol.attach_output(wish.session, 2, b"oops")
    agent.flush()
    assert viewer.receive() == {"kind": "opened"}
    assert viewer.receive() == b"\x02oops"
    viewer.socket.send(b"x" * (m.ATTACH_FRAME_BYTES + 1))
    viewer.socket.send('{"kind": "resize", "rows": 3, "columns": 4}')
    viewer.socket.send('{"kind": "end"}')
    came = [agent.hear(m.AttachInput) for _ in range(4)]
    assert [len(one.data) for one in came] == [m.ATTACH_FRAME_BYTES, 1, 0, 0]
    assert (came[2].rows, came[2].columns, came[3].is_end) == (3, 4, True)
    agent.protocol.attach_ended(wish.session, 5)
    agent.flush()
    assert viewer.ending() == {"kind": "ended", "exit_code": 5, "message": "", "hint": ""}
    entries = server.api.get("/audit", params={"limit": 5}).json()["entries"]
    assert [entry["action"] for entry in entries[:2]] == [
        "attachment ended",
        "POST /api/v1/jobs/{job}/attach",
    ]
    assert {entry["detail"]["session"] for entry in entries[:2]} == {wish.session}
    assert entries[1]["detail"]["command"] == ["echo", "hello"]


def test_who_does_not_take_output_holds_up_nobody_else(
    server: ServerProcess, job: tuple[TestAgent, m.Assign]
) -> None:
    agent, assign = job
    viewer, wish = open_session(server, agent, assign)
    for _ in range(40):  # no more than the window lets through until the server takes some
        while not agent.protocol.attach_room(wish.session):
            agent.hear(m.AttachTaken)
        agent.protocol.attach_output(wish.session, 1, b"y" * m.ATTACH_FRAME_BYTES)
        agent.flush()
    viewer.close()
    agent.hear(m.AttachLeave, session=wish.session)


def test_one_agent_has_so_many_sessions_and_no_more(
    server: ServerProcess, job: tuple[TestAgent, m.Assign]
) -> None:
    agent, assign = job
    for _ in range(m.ATTACH_WINDOW_FRAMES):
        viewer, wish = open_session(server, agent, assign)
    refused = Viewer(server, ask(server, assign.job).json())
    assert "are attached to jobs of" in refused.ending()["message"]
    agent.protocol.attach_ended(wish.session, 0)
    agent.flush()
    assert viewer.ending()["exit_code"] == 0


def test_an_old_agent_is_named_and_its_connection_stays(
    server: ServerProcess, make_agent: Agents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_side.m, "PROTOCOL_VERSIONS", (1,))
    agent, assign = begin(server, make_agent)
    viewer = Viewer(server, ask(server, assign.job).json())
    assert viewer.ending()["message"] == f"the agent on {agent.name} is too old to attach"
    agent.protocol.heartbeat((), {})
    agent.flush()
    assert server.api.get(f"/agents/{agent.id}").json()["status"] == "online"


def test_only_a_maintainer_or_who_started_the_run_may(server: ServerProcess, make_agent: Agents) -> None:
    names = {role: f"{role}-of-attach" for role in ("viewer", "runner", "maintainer")}
    tokens = {role: server.add_user(name, role=role) for role, name in names.items()}
    _agent, assign = begin(server, make_agent)
    answers = {role: ask(server, assign.job, token) for role, token in tokens.items()}
    assert {role: answer.status_code for role, answer in answers.items()} == {
        "viewer": 403,
        "runner": 403,
        "maintainer": 201,
    }
    assert "to have started its run by hand" in answers["runner"].json()["detail"]
    stranger = server.add_user("stranger-to-attach")
    assert ask(server, assign.job, stranger).status_code == 404
    with closing(server.as_user(tokens["runner"])) as api:
        flow = {
            "file": "own.yml",
            "text": "on: workflow_dispatch\njobs: {train: {runs-on: self-hosted, steps: [{run: x}]}}",
        }
        own = api.post("/runs", json={"flow": flow}).json()["run"]
    agent = make_agent(server, name="attach-own", token=server.registration()).connect()
    mine = agent.take()
    server.wait_for_job(own, status="running")
    assert ask(server, mine.job, tokens["runner"]).status_code == 201


def test_a_ticket_is_good_once_and_nothing_else_opens_the_websocket(
    server: ServerProcess, job: tuple[TestAgent, m.Assign]
) -> None:
    agent, assign = job
    ticket = ask(server, assign.job).json()
    first = Viewer(server, ticket)
    agent.hear(m.Attach)
    assert Viewer(server, ticket).ending()["message"] == "the ticket was used before"
    first.close()
    for bad in ("", server.token, ticket["ticket"][:-4] + "AAAA"):
        with pytest.raises(InvalidStatus, match="403"):
            Viewer(server, {**ticket, "ticket": bad})
    with pytest.raises((InvalidStatus, ConnectionClosed)):
        Viewer(server, ask(server, assign.job).json(), Origin="https://evil.example.org")


def test_jobs_that_wait_or_have_ended_say_so(server: ServerProcess, make_agent: Agents) -> None:
    run = server.submit()
    waiting = server.wait_for_job(run, status="queued")
    answer = ask(server, waiting["id"])
    assert answer.status_code == 409
    assert "has not begun" in answer.json()["detail"]
    server.api.post(f"/runs/{run}/cancel", json={})
    answer = ask(server, waiting["id"])
    assert answer.status_code == 409
    assert "has ended" in answer.json()["detail"]
    assert ask(server, "job_00000000000000000000").status_code == 404


def test_an_operator_can_switch_it_off(make_server: Callable[..., ServerProcess], make_agent: Agents) -> None:
    server = make_server(allow_attach=False)
    _agent, assign = begin(server, make_agent)
    answer = ask(server, assign.job)
    assert answer.status_code == 403
    assert "this server lets nobody attach" in answer.json()["detail"]
