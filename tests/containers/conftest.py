"""Registries that images are in, with and without a login."""

from collections.abc import Iterator

import pytest
from support.registry import Registry, running_registry


@pytest.fixture(scope="module")
def open_registry(engine_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("open"), engine_address, has_login=False) as registry:
        yield registry


@pytest.fixture(scope="module")
def closed_registry(engine_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("closed"), engine_address, has_login=True) as registry:
        yield registry
