"""A lab for each test; the whole folder is marked `end_to_end`.

A lab's server keeps its rows in SQLite; for tests that are marked `store("sqlite", "postgresql")` also in PostgreSQL.
`AGENT_TEST_STORES=both` has all of them run on both: by hand, since what differs between the stores is in the marked ones.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import open_chromium
from support.lab import Lab

KEY = "bWFzdGVyLWtleS1mb3ItdGVzdHMtMzItYnl0ZXMhISE="


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.end_to_end)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "lab" in metafunc.fixturenames:
        own = metafunc.definition.get_closest_marker("store")
        names = own.args if own else ("sqlite",)
        is_whole = os.environ.get("AGENT_TEST_STORES") == "both"
        metafunc.parametrize("lab", ("sqlite", "postgresql") if is_whole else names, indirect=True)


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Lab]:
    """A lab whose git host is not public; no agents yet."""
    folder = tmp_path / "lab"
    folder.mkdir()
    with Lab(folder, environment={"AGENT_OUTSIDE_HOSTS": "127.0.0.1"}) as made:
        made.start_server()
        yield made


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A started server, no agents yet."""
    environment = {}
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").make_database()
        environment = {"AGENT_DATABASE_URL": url, "AGENT_MASTER_KEY": KEY}
    with Lab(tmp_path, environment) as made:
        made.start_server()
        yield made


@pytest.fixture
def chromium() -> Iterator[Any]:
    """A real browser."""
    with open_chromium() as browser:
        yield browser
