"""One container engine for all tests of this folder, which run in one process for its sake."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.docker import NoEngineError, running_engine

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.xdist_group("docker"))


@pytest.fixture(scope="session")
def engine_address() -> Iterator[str]:
    try:
        with running_engine() as address:
            yield address
    except NoEngineError as error:
        if os.environ.get("CI"):
            pytest.fail(f"a container engine is part of CI: {error}")
        pytest.skip(str(error))
