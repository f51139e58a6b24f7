"""What becomes of an offer whose answer is lost: the job runs once. A real agent, and a line that loses what it says."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from server.vocabulary import ServerProcess, TestAgent, journal, wait_for
from support.chaos_line import ChaosLine, chaos_line
from support.lab import command_line, run_agent

from agent.job.launch.launcher import list_job_folders

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]


class Far:
    """A real agent at the far end of a line; by `leave` it is gone."""

    def __init__(self, server: ServerProcess, state: Path, line: ChaosLine) -> None:
        self.state = state
        environment = {"AGENT_STATE": str(state), "AGENT_REGISTRATION_TOKEN": server.registration_token}
        done = run_agent("register", "--url", line.url, "--name", "far", environment=environment)
        assert done.code == 0, done.err
        with state.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                ["env", f"AGENT_STATE={state}", *command_line("start")], stdin=subprocess.DEVNULL, stderr=log
            )
        is_ready = "SELECT count(*) FROM agents WHERE ready IS NOT NULL"
        wait_for(lambda: server.sql(is_ready) == [(1,)], "the agent to have said all that it has to say")

    def jobs(self) -> list[tuple[str, int]]:
        """What lies on its disk."""
        return [(folder.job, folder.lease) for folder in list_job_folders(self.state / "jobs")]

    def leave(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server(make_server: Servers, request: pytest.FixtureRequest) -> ServerProcess:
    terms = {"offer_seconds": request.param} if hasattr(request, "param") else {}
    return make_server(lease_terms=terms, connection_terms={"heartbeat_seconds": 600})


@pytest.fixture
def line(server: ServerProcess) -> Iterator[ChaosLine]:
    with chaos_line(int(server.url.rpartition(":")[2])) as made:
        yield made


@pytest.fixture
def far(server: ServerProcess, line: ChaosLine, tmp_path: Path) -> Iterator[Far]:
    agent = Far(server, tmp_path / "far", line)
    yield agent
    agent.leave()


def submit(server: ServerProcess, script: str) -> int:
    return server.submit(ONE_STEP.replace("SCRIPT", script))


@pytest.mark.parametrize("server", [0.3], indirect=True)
def test_an_offer_whose_acceptance_is_lost_and_that_goes_to_another_agent_runs_there_alone(
    server: ServerProcess, make_agent: Agents, line: ChaosLine, far: Far, tmp_path: Path
) -> None:
    line.lose_next_word()
    run = submit(server, f"touch '{tmp_path}/begun'")
    ((job, lease),) = wait_for(far.jobs, "the job on the disk of the agent that can't say so")
    near = make_agent(server, name="near").connect()
    near.finish(taken := near.take(), journal(taken))
    assert (taken.job, taken.lease) == (job, lease + 1)
    line.mend()
    wait_for(lambda: not far.jobs(), "what the far agent had accepted to go")
    assert not (tmp_path / "begun").exists()
    assert server.job(run)["conclusion"] == "success"
    assert server.sql("SELECT number, state FROM leases ORDER BY number") == [(1, "expired"), (2, "released")]


def test_an_offer_whose_acceptance_is_lost_runs_when_its_agent_is_back_in_time(
    server: ServerProcess, line: ChaosLine, far: Far, tmp_path: Path
) -> None:
    line.lose_next_word()
    run = submit(server, f"echo begun >> '{tmp_path}/begun'")
    wait_for(far.jobs, "the job on the disk of the agent that can't say so")
    assert server.job(run)["status"] == "assigned"
    line.mend()
    server.wait_for_job(run, conclusion="success")
    assert (tmp_path / "begun").read_text() == "begun\n"
    assert server.sql("SELECT number, state FROM leases") == [(1, "released")]


ONE_STEP = """\
on: workflow_dispatch
jobs:
  train:
    runs-on: self-hosted
    steps: [{run: "SCRIPT"}]
"""
