"""One server for the tests of a file that leave it as they found it, and a maker of servers of one's own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server.vocabulary import ServerProcess, TestAgent
from support.s3 import CREDENTIALS, S3, serve_s3


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An S3 server, and its credentials in the environment."""
    with serve_s3() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    limits = {"failures_per_minute": 100_000}  # these tests fail for a living
    process = ServerProcess(tmp_path_factory.mktemp("server") / "data", limits=limits)
    yield process
    process.stop()


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    made: list[ServerProcess] = []

    def make(**settings: Any) -> ServerProcess:
        made.append(ServerProcess(tmp_path / f"data-{len(made)}", **settings))
        return made[-1]

    yield make
    for process in made:
        process.kill()


@pytest.fixture
def make_agent() -> Iterator[Callable[..., TestAgent]]:
    made: list[TestAgent] = []

    def make(server: ServerProcess, **more: Any) -> TestAgent:
        made.append(TestAgent(server, **more))
        return made[-1]

    yield make
    for agent in made:
        agent.disconnect()
