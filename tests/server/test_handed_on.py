"""A job that its agent has handed to a cluster says what it waits for there: its own agent's word, and nobody else's."""

from collections.abc import Callable

import pytest
from server.vocabulary import ServerProcess, TestAgent, journal, wait_for

from agent.wire import messages as m

Agents = Callable[..., TestAgent]


@pytest.fixture
def own(make_server: Callable[..., ServerProcess]) -> ServerProcess:
    return make_server()


def say(agent: TestAgent, assign: m.Assign, words: str) -> None:
    agent.protocol.heartbeat((m.HeldJob(assign.job, assign.lease, 0, is_running=True, waiting=words),), {})
    agent.flush()


def test_what_a_job_waits_for_at_its_agent_is_shown_until_it_runs(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    own.wait_for_job(run, status="running")
    for words in ("waits in Slurm (job 4): Resources", "waits in Slurm (job 4): Priority", ""):
        say(agent, assign, words)
        own.wait_for_job(run, waiting=words)
    agent.finish(assign, journal(assign))
    assert own.run(run)["conclusion"] == "success"


def test_an_agent_says_nothing_of_anothers_job_or_of_one_that_is_over(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own, name="one").connect()
    assign = agent.take()
    own.wait_for_job(run, status="running")
    other = make_agent(own, name="two").connect()
    say(other, assign, "mine now")
    say(other, assign, "mine still")
    agent.finish(assign, journal(assign))
    say(agent, assign, "too late")
    next_run = own.submit()
    agent.finish(later := agent.take(), journal(later))  # by now all of it was heard
    assert own.run(next_run)["conclusion"] == "success"
    wait_for(lambda: own.run(run)["conclusion"] == "success")
    assert own.sql("SELECT waiting FROM jobs WHERE id = ?", assign.job) == [("",)]
