"""What all behaviours share: the repository of their actions, and one server with one agent, started when first asked for."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.behaviours import write_actions
from support.behaviours_lab import BehaviourLab, make_behaviour_lab


@pytest.fixture(scope="session")
def actions_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where `uses: acme/actions/NAME@v1` is found."""
    return write_actions(tmp_path_factory.mktemp("git"))


@pytest.fixture(scope="session")
def settled(tmp_path_factory: pytest.TempPathFactory, actions_url: str) -> dict[str, str]:
    """The environment of the whole table: nothing of the caller's, a home and a store of actions of its own."""
    root = tmp_path_factory.mktemp("table")
    ours = ("AGENT_", "XDG_", "GITHUB_", "RUNNER_", "ACTIONS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    (root / "home").mkdir()
    return {
        **kept,
        "HOME": str(root / "home"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "AGENT_STATE": str(root / "local"),
        "AGENT_ACTIONS_URL": actions_url,
    }


@pytest.fixture(scope="session")
def behaviour_lab(
    tmp_path_factory: pytest.TempPathFactory, settled: dict[str, str]
) -> Iterator[BehaviourLab]:
    """A real server and a real agent, for all behaviours together."""
    folder: Path = tmp_path_factory.mktemp("lab")
    with make_behaviour_lab(folder, settled) as lab:
        yield lab
