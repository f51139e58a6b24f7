"""A bench a test."""

from pathlib import Path

import pytest
from support.datatorch import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
