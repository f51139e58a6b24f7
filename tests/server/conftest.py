"""One server for the tests of a file that leave it as they found it, and a maker of servers of one's own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server.vocabulary import ServerProcess, TestAgent
from support.browser import open_chromium
from support.s3 import CREDENTIALS, S3, serve_s3
from support.silent_host import SilentHost


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """An S3 server, and its credentials in the environment."""
    with serve_s3() as running, pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield running


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whatever starts a server starts it on both stores, but for what is marked as one store's own."""
    if "store" in metafunc.fixturenames:
        own = metafunc.definition.get_closest_marker("store")
        names = own.args if own else ("sqlite", "postgresql")
        metafunc.parametrize("store", names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def store(request: pytest.FixtureRequest) -> Callable[[], dict[str, str]]:
    """Makes the settings of a server with a database of its own."""
    if request.param == "sqlite":
        return dict
    cluster = request.getfixturevalue("postgres")
    return lambda: {"database_url": cluster.make_store()}


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, store: Callable[[], dict[str, str]]
) -> Iterator[ServerProcess]:
    limits = {"failures_per_minute": 100_000}  # these tests fail for a living
    process = ServerProcess(tmp_path_factory.mktemp("server") / "data", limits=limits, **store())
    yield process
    process.stop()


@pytest.fixture(scope="module", params=["disk with sqlite", "s3 with postgresql"])
def blob_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """For tests of what lies in blobs: each place of theirs with one of the stores; neither knows of the other."""
    settings = {}
    if request.param == "s3 with postgresql":
        settings["blobs_url"] = request.getfixturevalue("s3").blobs_url("&direct=no")
        settings["database_url"] = request.getfixturevalue("postgres").make_store()
    process = ServerProcess(tmp_path_factory.mktemp("server") / "data", **settings)
    yield process
    process.stop()


@pytest.fixture
def make_server(
    tmp_path: Path, store: Callable[[], dict[str, str]]
) -> Iterator[Callable[..., ServerProcess]]:
    made: list[ServerProcess] = []

    def make(**settings: Any) -> ServerProcess:
        made.append(ServerProcess(tmp_path / f"data-{len(made)}", **store(), **settings))
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


@pytest.fixture
def chromium() -> Iterator[Any]:
    """A real browser."""
    with open_chromium() as browser:
        yield browser


@pytest.fixture
def silent_host() -> Iterator[SilentHost]:
    host = SilentHost()
    yield host
    host.release()
