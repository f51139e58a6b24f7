"""`agent start --run-as USER`: a real second user, the real daemon and its jobs, and what those try.

docs/security.md says what is kept apart by it.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator

import pytest
from support.daemon_process import DaemonProcess, daemon_process, wait_until
from support.fake_server import FakeServer
from support.second_user import SecondUser, open_folder, second_user
from support.wire import job_spec

from agent.daemon.state import StateFolder
from agent.ids import ENTROPY_BYTES, make_id
from agent.job.launch import is_running, list_job_folders, request_cancel
from agent.spec.job import JobSpec
from agent.spec.outcome import Conclusion, JobResult

pytestmark = pytest.mark.end_to_end


@pytest.fixture(scope="module")
def user() -> Iterator[SecondUser]:
    with second_user() as found:
        yield found


@pytest.fixture
async def state(server: FakeServer) -> AsyncIterator[StateFolder]:
    """A registered agent's state where others can reach it. Jobs that a failed test left are ended."""
    with open_folder() as folder:
        state = StateFolder(folder / "state")
        server.register(state, max_jobs=4)
        yield state
        for job in list_job_folders(state.jobs):
            request_cancel(job, "the test is over")
            await wait_until(lambda job=job: not is_running(job))


@pytest.fixture
def jobs() -> list[str]:
    """Identifiers that no other test run has."""
    return [make_id("job", os.urandom(ENTROPY_BYTES)) for _ in range(3)]


@contextlib.asynccontextmanager
async def running_as(user: SecondUser, state: StateFolder, **more: str) -> AsyncIterator[DaemonProcess]:
    environment = {**user.environment, "AGENT_RUN_AS": user.name, **more}
    async with daemon_process(state, python=user.python, **environment) as daemon:
        yield daemon


async def run(server: FakeServer, job: str, what: str | JobSpec) -> tuple[JobResult, str]:
    """Run a script, or a job, to its end; how it ended, and what it printed."""
    spec = job_spec(job, what) if isinstance(what, str) else what
    await server.assign_spec(spec, 1, {})
    await server.wait_for(lambda: server.result(job))
    return server.result(job), server.output(job).decode()


async def test_a_job_is_its_user_and_nobody_else(server, state, user, jobs):
    look = 'id -u; id -G; echo "$USER $LOGNAME $HOME"; stat -c %U "$HOME" . "$RUNNER_TEMP"; grep -E "CapEff|NoNewPrivs" /proc/self/status'
    async with running_as(user, state):
        result, output = await run(server, jobs[0], look)
    assert result.conclusion is Conclusion.SUCCESS, output
    assert f"\n{user.uid}\n{user.gid}\n{user.name} {user.name} " in output
    assert output.count(f"\n{user.name}\n") >= 1
    assert "CapEff:\t0000000000000000\nNoNewPrivs:\t1" in output
