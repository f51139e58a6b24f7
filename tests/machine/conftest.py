"""The NVML stand-in, compiled once a test process."""

from pathlib import Path

import pytest
from support.nvml import build_nvml


@pytest.fixture(scope="session")
def nvml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_nvml(tmp_path_factory.mktemp("nvml"))
