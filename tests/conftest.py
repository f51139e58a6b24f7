"""Rules for every test: a home folder of its own, no settings from outside, nothing left behind; and a PostgreSQL."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.postgres import Cluster, run_cluster

# Whoever started the tests in the background told them to ignore ctrl-C, and with `nohup` the end of the terminal; the
# commands that they start must not.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
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
