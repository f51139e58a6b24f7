"""A server and an agent that is registered with it, for tests with a real daemon."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.daemon_process import wait_until
from support.fake_server import FakeServer, fake_server

from agent.daemon.state import StateFolder
from agent.job.launch.launcher import is_running, list_job_folders, request_cancel


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with fake_server() as fake:
        yield fake


@pytest.fixture
async def state(tmp_path: Path, server: FakeServer) -> AsyncIterator[StateFolder]:
    """A registered agent's state. Jobs that a failed test left are ended."""
    folder = StateFolder(tmp_path / "state")
    server.register(folder, max_jobs=4)
    yield folder
    for job in list_job_folders(folder.jobs):
        request_cancel(job, "the test is over")
        await wait_until(lambda job=job: not is_running(job))
