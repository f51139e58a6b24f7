"""A lab for each test; the whole folder is marked `end_to_end`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.lab import Lab, make_lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.end_to_end)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A started server, no agents yet."""
    with make_lab(tmp_path) as made:
        yield made
