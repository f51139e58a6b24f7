"""`agent doctor` and the engine that jobs use."""

import pytest

from agent.cli.machine.doctor_checks import check_docker
from agent.config import load_settings


def test_an_engine_that_answers_is_ticked_with_its_version(
    engine_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine_address)
    (docker,) = check_docker(load_settings())
    assert docker.state == "ok"
    assert docker.found.endswith(f"answers at {engine_address}")
