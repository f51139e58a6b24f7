"""What an attacker tries with names, identifiers, filters and two requests at once."""

import threading
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from server.routes import HttpRoute
from server.vocabulary import ServerProcess

from agent.server.http.operation import NoQuery, Operation
from agent.server.routes import OPERATIONS

Servers = Callable[..., ServerProcess]
SQL = ["' OR 1=1 --", "1; DROP TABLE users", '"', "%", "\\", "1 UNION SELECT hash FROM tokens"]


def text_filters(row: Operation) -> list[str]:
    return [] if row.query in (None, NoQuery) else [field.name for field in msgspec.structs.fields(row.query)]


LISTS = [row for row in OPERATIONS if row.verb == "GET" and text_filters(row) and not row.is_page]


@pytest.mark.parametrize("row", LISTS, ids=lambda row: row.path)
def test_no_filter_takes_sql(server: ServerProcess, row: Operation) -> None:
    path = HttpRoute(row.verb, row.path, row.access).filled(project="default")
    headers = {"Authorization": f"Bearer {server.token}"}
    for name in text_filters(row):
        for evil in SQL:
            answer = server.http.get(path, params={name: evil}, headers=headers)
            assert answer.status_code < 500, (path, name, evil)
            assert "hash" not in answer.text or answer.is_error
    assert server.api.get("/user").status_code == 200


def test_a_part_of_an_identifier_is_no_identifier(server: ServerProcess) -> None:
    run = server.submit()
    job = server.run(run)["jobs"][0]["id"]
    for near in (job[:-1], f"{job}0", job.upper(), f"{job}%20", f"{job}%2F.."):
        assert server.api.get(f"/jobs/{near}").status_code == 404
    for near in (f"{run}0000", f"0x{run}", f"-{run}", f"{run}.0", "9" * 30):
        assert server.api.get(f"/runs/{near}").status_code == 404


def test_of_two_admins_who_remove_each_other_at_once_one_stays(make_server: Servers) -> None:
    server = make_server()
    tokens = {"admin": server.token, "second": server.add_user("second", admin=True)}
    answers: list[httpx.Response] = []

    def demote(actor: str, victim: str) -> None:
        with server.as_user(tokens[actor]) as client:
            answers.append(client.patch(f"/users/{victim}", json={"admin": False}))

    threads = [
        threading.Thread(target=demote, args=pair) for pair in (("admin", "second"), ("second", "admin"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert min(answer.status_code for answer in answers) == 200
    still: list[Any] = []
    for token in tokens.values():
        with server.as_user(token) as client:
            still.append(client.get("/user").json()["admin"])
    assert still.count(True) == 1


def test_a_user_without_any_role_sees_and_changes_nothing_of_anybody(server: ServerProcess) -> None:
    run = server.submit()
    with server.as_user(server.add_user("roleless")) as client:
        for path in (f"/runs/{run}", "/runs", "/variables", "/secrets", "/projects/default", "/events"):
            assert client.get(path).status_code == 404
        assert client.post("/runs", json={"flow": {"file": "f", "text": "x"}}).status_code == 404
        assert client.get("/user").json()["roles"] == {}
