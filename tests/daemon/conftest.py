"""A server and an agent that is registered with it, for tests with a real daemon."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.daemon_process import wait_until
from support.fake_server import FakeServer, fake_server
from support.second_user import SecondUser, open_folder, second_user

from agent.daemon.state import StateFolder
from agent.ids import ENTROPY_BYTES, make_id
from agent.job.launch.launcher import is_running, list_job_folders, request_cancel


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server() as fake:
        yield fake


@pytest.fixture
async def state(tmp_path: Path, server: FakeServer) -> AsyncIterator[StateFolder]:
    """A registered agent's state. Jobs that a failed test left are ended."""
    async with registered(server, tmp_path / "state") as folder:
        yield folder


@contextlib.asynccontextmanager
async def registered(server: FakeServer, path: Path) -> AsyncIterator[StateFolder]:
    state = StateFolder(path)
    server.register(state, max_jobs=4)
    yield state
    for job in list_job_folders(state.jobs):
        request_cancel(job, "the test is over")
        await wait_until(lambda job=job: not is_running(job))


@pytest.fixture(scope="session")
def user() -> Iterator[SecondUser]:
    """A second user, for jobs to run as."""
    with second_user() as found:
        yield found


@pytest.fixture
def third() -> Iterator[SecondUser]:
    """The agent's own user, where that is not root."""
    with second_user() as found:
        yield found


@pytest.fixture
async def open_state(server: FakeServer) -> AsyncIterator[StateFolder]:
    """A registered agent's state where another user can reach its work folder. Jobs that a failed test left are ended."""
    with open_folder() as folder:
        async with registered(server, folder / "state") as made:
            yield made


@pytest.fixture
def new_jobs() -> list[str]:
    """Identifiers that no other test run has: stray processes of a job are found by them."""
    return [make_id("job", os.urandom(ENTROPY_BYTES)) for _ in range(3)]
