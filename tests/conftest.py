"""Rules for every test: a home folder of its own, no settings from outside, nothing left behind; a PostgreSQL and a container engine."""

import os
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support.docker import NoEngineError, running_engine
from support.postgres import Cluster, run_cluster

# Whoever started the tests in the background told them to ignore ctrl-C, and with `nohup` the end of the terminal; the
# commands that they start must not.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes says what else the machine is doing, not whether the claim holds.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

HERE = Path(__file__).parent
_LONG_SECONDS = 5.0


@pytest.fixture(autouse=True)
def kept_folder() -> Iterator[None]:
    """The folder that the tests work in is none of the product's to change: the tests after it would be elsewhere."""
    here = Path.cwd()
    yield
    there = Path.cwd()
    os.chdir(here)
    assert there == here


@pytest.fixture(autouse=True)
def own_home(
    kept_folder: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A fresh home folder, and none of the caller's `AGENT_*` or `XDG_*` settings."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("AGENT_", "XDG_", "GITHUB_", "RUNNER_", "ACTIONS_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL of this test process."""
    with run_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def engine_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One container engine for all tests, whichever process they run in: two would trip over each other's networks."""
    own = tmp_path_factory.getbasetemp()
    try:
        with running_engine(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) as address:
            yield address
    except NoEngineError as error:
        if os.environ.get("CI"):
            pytest.fail(f"a container engine is part of CI: {error}")
        pytest.skip(str(error))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that took longest first: `tests/durations.txt` says which they were."""
    took = {}
    for line in (HERE / "durations.txt").read_text().splitlines():
        seconds, file = line.split()
        took[file] = float(seconds)
    items.sort(key=lambda item: -took.get(item.path.relative_to(HERE).as_posix(), 0.0))


class Durations:
    """What each file took, written down at the end: `AGENT_TEST_DURATIONS=tests/durations.txt make test`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._took: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._took[report.nodeid.partition("::")[0].removeprefix("tests/")] += report.duration

    def pytest_sessionfinish(self) -> None:
        rows = sorted(self._took.items(), key=lambda row: -row[1])
        text = "".join(f"{seconds:.0f} {file}\n" for file, seconds in rows if seconds >= _LONG_SECONDS)
        self._file.write_text(text)


def pytest_configure(config: pytest.Config) -> None:
    """The process that gathers the reports of all others writes down what they took."""
    wanted = os.environ.get("AGENT_TEST_DURATIONS")
    if wanted and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Durations(Path(wanted)))
