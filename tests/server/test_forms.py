"""Forms at the server: asked by a journal, answered once, told to the agent on each connection until the step has ended."""

from collections.abc import Callable
from typing import Any

from server.vocabulary import ServerProcess, TestAgent, closing, frames, journal, wait_for
from support.lab import run_agent

from agent.journal.format import FormAsked, StepChanged
from agent.spec.outcome import Conclusion
from agent.wire import messages as m

Agents = Callable[..., TestAgent]
FORM = {"type": "object", "properties": {"good": {"type": "integer"}}, "required": ["good"]}


def begin(server: ServerProcess, make_agent: Agents, *numbers: int) -> tuple[TestAgent, m.Assign, int]:
    """A job of which these steps ask."""
    name = f"forms-{len(server.api.get('/agents').json()['agents'])}"
    agent = make_agent(server, name=name, token=server.registration()).connect()
    run = server.submit()
    assign = agent.take()
    agent.ship(assign, ask(assign, *numbers))
    wait_for(lambda: len(forms(server, run)) == len(numbers), "the forms")
    return agent, assign, run


def ask(assign: m.Assign, *numbers: int) -> bytes:
    asked = [FormAsked(number, 1000 + number, f"Look {number}", FORM) for number in numbers]
    begun = [StepChanged(number, f"look{number}", "Look", "running", 1000) for number in numbers]
    return journal(assign, *begun, *asked, closes=False)


def forms(server: ServerProcess, run: int) -> list[dict[str, Any]]:
    return list(server.api.get(f"/runs/{run}/forms").json()["forms"])


def answer(server: ServerProcess, job: str, **body: Any) -> Any:
    return server.api.post(f"/jobs/{job}/answer", json=body)


def heard(agent: TestAgent) -> m.StepAnswer:
    while (ack := agent.hear(m.Ack)).answer is None:
        pass
    return ack.answer


def test_of_several_forms_one_is_named(server: ServerProcess, make_agent: Agents) -> None:
    agent, assign, run = begin(server, make_agent, 1, 2)
    several = answer(server, assign.job, values={"good": 1})
    assert (several.status_code, "1 (Look 1), 2 (Look 2)" in several.json()["hint"]) == (422, True)
    assert answer(server, assign.job, step=3, values={"good": 1}).status_code == 409
    assert answer(server, assign.job, step=2, values={"good": "5"}).json()["values"] == {"good": 5}
    assert [form["step"] for form in forms(server, run)] == [1]
    assert heard(agent) == m.StepAnswer(2, "admin", {"good": 5})
    assert "waits for a person: Look 1" in server.job(run)["waiting"]
    agent.disconnect()


def test_an_answer_is_told_again_until_the_journal_says_that_the_step_has_ended(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent, assign, run = begin(server, make_agent, 1)
    assert answer(server, assign.job, values={"good": 1}).status_code == 200
    assert heard(agent).values == {"good": 1}
    assert "answered by admin" in server.job(run)["waiting"]
    size = len(ask(assign, 1))
    agent.disconnect()
    agent.connect(held=(m.HeldJob(assign.job, assign.lease, size, is_running=True),))
    assert heard(agent).values == {"good": 1}
    done = Conclusion.SUCCESS
    ended = StepChanged(1, "look1", "Look", "completed", 2000, outcome=done, conclusion=done)
    agent.ship(assign, frames(ended, closing()))
    wait_for(lambda: server.run(run)["conclusion"], "the run to end")
    ((ended_at,),) = server.sql("SELECT ended_at FROM forms WHERE job = ?", assign.job)
    assert ended_at is not None
    assert forms(server, run) == []


def test_a_runner_of_another_project_hears_nothing_of_it(server: ServerProcess, make_agent: Agents) -> None:
    agent, assign, run = begin(server, make_agent, 1)
    assert server.api.post("/projects", json={"name": "others"}).status_code in (201, 409, 422)
    token = server.add_user("olga", role="admin", project="others")
    with server.as_user(token) as other:
        assert other.post(f"/jobs/{assign.job}/answer", json={"values": {"good": 1}}).status_code == 404
        assert other.get(f"/runs/{run}/forms").status_code == 404
    agent.disconnect()


def test_a_name_that_the_form_does_not_have_is_refused_and_the_step_waits_on(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent, assign, run = begin(server, make_agent, 1)
    refused = answer(server, assign.job, values={"good": 1, "goood": 3})
    assert (refused.status_code, "has no field 'goood'" in refused.text) == (422, True), refused.text
    assert len(forms(server, run)) == 1
    agent.disconnect()


def test_a_second_answer_is_told_who_gave_the_first_also_when_the_step_has_ended(
    server: ServerProcess, make_agent: Agents
) -> None:
    agent, assign, run = begin(server, make_agent, 1)
    assert answer(server, assign.job, values={"good": 1}).status_code == 200
    done = Conclusion.SUCCESS
    for frame in (
        b"",
        frames(StepChanged(1, "l", "Look", "completed", 2000, outcome=done, conclusion=done), closing()),
    ):
        if frame:
            agent.ship(assign, frame)
            wait_for(lambda: server.run(run)["conclusion"], "the run to end")
        late = answer(server, assign.job, values={"good": 2})
        assert (late.status_code, "'Look 1' was answered already, by admin" in late.text) == (409, True)
        where = {"AGENT_URL": server.url, "AGENT_TOKEN": server.token}
        said = run_agent("run", "answer", str(run), "--set", "good=2", environment=where)
        assert said.code == 1
        assert f"'Look 1' was answered already, by admin (run {run}," in said.err
    agent.disconnect()
