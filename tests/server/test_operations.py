"""The operations' rows: what is served, and what is said of it."""

from pathlib import Path

from starlette.routing import Route, WebSocketRoute

import agent.server
from agent.server.routes import OPERATIONS, make_routes


def test_nothing_is_served_but_the_rows() -> None:
    served = [route for route in make_routes() if not isinstance(route, WebSocketRoute)]
    assert {route.path for route in served if isinstance(route, Route)} == {row.path for row in OPERATIONS}
    assert len(served) == len({row.path for row in OPERATIONS})


def test_each_operation_has_a_name_of_its_own_and_a_summary() -> None:
    names = [row.name for row in OPERATIONS if row.documented]
    assert len(names) == len(set(names))
    assert all(row.summary for row in OPERATIONS)


def test_a_path_allows_all_its_verbs() -> None:
    (route,) = [route for route in make_routes() if isinstance(route, Route) and route.path == "/api/v1/runs"]
    assert route.methods == {"GET", "HEAD", "POST"}


def test_no_handler_opens_a_transaction() -> None:
    root = Path(agent.server.__file__).parent
    files = [file for part in ("api", "toolkit", "web") for file in sorted((root / part).glob("*.py"))]
    assert len(files) > 30
    for file in files:
        text = file.read_text()
        assert ".begin()" not in text, file
        assert "rooms.database" not in text, file
