"""One container engine for all tests of this folder, whichever process they run in."""

import os
from collections.abc import Iterator

import pytest
from support.docker import NoEngineError, running_engine
from support.registry import Registry, running_registry


@pytest.fixture(scope="session")
def engine_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    own = tmp_path_factory.getbasetemp()
    try:
        with running_engine(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) as address:
            yield address
    except NoEngineError as error:
        if os.environ.get("CI"):
            pytest.fail(f"a container engine is part of CI: {error}")
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def open_registry(engine_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("open"), engine_address, has_login=False) as registry:
        yield registry


@pytest.fixture(scope="module")
def closed_registry(engine_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("closed"), engine_address, has_login=True) as registry:
        yield registry
