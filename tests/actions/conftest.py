"""Actions are run as a job runs them: as a process of the isolated interpreter, with inputs in the environment."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.action_step import ACTIONS, Done, Step
from support.results_service import ResultsService, serve_results

__all__ = ["ACTIONS", "Done", "Step"]

sys.path.insert(0, str(ACTIONS))  # as each main.py does, for the tests of `_toolkit` itself


@pytest.fixture
def service() -> Iterator[ResultsService]:
    with serve_results() as service:
        yield service


@pytest.fixture
def step(tmp_path: Path, service: ResultsService) -> Step:
    """A step of a job that a server has given."""
    return Step(tmp_path / "job", service.url, service.token)


@pytest.fixture
def local_step(tmp_path: Path) -> Step:
    """A step of a local run: no server, a folder for artifacts."""
    step = Step(tmp_path / "local")
    step.environment["FLOW_ARTIFACTS"] = str(tmp_path / "artifacts")
    return step
