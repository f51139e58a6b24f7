"""The audit log: a row for each call that changes something, and nothing secret in it."""

from collections.abc import Callable
from typing import Any

import pytest
from server.routes import HttpRoute, http_routes
from server.vocabulary import ServerProcess, TestAgent

from agent.server.people.auth.access import SAFE_METHODS

Servers = Callable[..., ServerProcess]
CHANGING = [
    route
    for route in http_routes()
    if route.verb not in SAFE_METHODS and route.access.admits_people and not route.part
]


def entries(server: ServerProcess, **filters: Any) -> list[dict[str, Any]]:
    answer = server.api.get("/audit", params={"limit": 200, **filters})
    assert answer.status_code == 200, answer.text
    return answer.json()["entries"]


@pytest.mark.parametrize("route", CHANGING, ids=str)
def test_each_call_that_may_change_something_leaves_one_row(server: ServerProcess, route: HttpRoute) -> None:
    action = f"{route.verb} {route.path}"
    before = {row["id"] for row in entries(server, action=action)}
    server.http.request(
        route.verb, route.filled(), headers={"Authorization": f"Bearer {server.token}"}, content=b"null"
    )
    (row,) = [row for row in entries(server, action=action) if row["id"] not in before]
    assert row["target"] == route.filled()
    assert row["address"] == "127.0.0.1"
    assert row["outcome"] in ("done", "refused")
    assert (row["actor"], bool(row["token"])) == ("admin", True)


def test_a_row_says_who_did_what_where_and_how_it_went(server: ServerProcess) -> None:
    server.api.post("/projects", json={"name": "audited"})
    token = server.add_user("auditee", role="runner", project="audited")
    with server.as_user(token) as client:
        client.put("/variables/X?project=audited", json={"value": "1"})
    (row,) = entries(server, actor="auditee")
    assert row["action"] == "PUT /api/v1/variables/{name}"
    assert row["target"] == "/api/v1/variables/X"
    assert row["outcome"] == "refused"
    (given,) = entries(server, action="PUT /api/v1/projects/{project}/members/{user}", project="audited")
    assert given["detail"] == {"user": "auditee", "project": "audited", "role": "runner"}
    assert given["outcome"] == "done"


def test_no_value_of_a_secret_and_no_password_or_token_is_in_the_log(server: ServerProcess) -> None:
    server.set_secret("AUDITED_KEY", "hunter2-hunter2")
    token = server.add_user("secretive", password="hunter2-hunter2")
    server.http.post("/api/v1/login", json={"user": "secretive", "password": "hunter2-hunter2"})
    text = server.api.get("/audit", params={"limit": 200}).text
    assert "AUDITED_KEY" in text
    assert "hunter2" not in text
    assert token not in text


def test_sign_ins_are_told_good_and_bad_ones(server: ServerProcess) -> None:
    server.add_user("watched", password="correct horse battery")
    for password in ("wrong horse", "correct horse battery"):
        server.http.post("/api/v1/login", json={"user": "watched", "password": password})
    good, bad = entries(server, action="POST /api/v1/login")[:2]
    assert (bad["outcome"], bad["actor"], bad["detail"]["user"]) == ("refused", "", "watched")
    assert (good["outcome"], good["actor"]) == ("done", "watched")


def test_a_stranger_without_a_token_fills_no_log(server: ServerProcess) -> None:
    before = entries(server)[0]["id"]
    for path in ("/login", "/api/v1/login", "/api/v1/agents/register"):
        assert server.http.post(path, content=b"nonsense").is_error
    assert server.http.get("/login/oidc/callback?code=x&state=y").is_error
    assert server.http.post("/api/v1/runs", json={}).status_code == 401
    assert server.http.put("/api/v1/secrets/X", json={}, headers={"Authorization": "Bearer x"}).is_error
    assert entries(server)[0]["id"] == before


def test_the_log_is_read_page_by_page_and_by_who_may(make_server: Servers) -> None:
    server = make_server()
    token = server.add_user("ada", role="admin")
    for number in range(5):
        server.api.put(f"/variables/V{number}", json={"value": "1"})
    first = server.api.get("/audit?limit=3").json()
    second = server.api.get(f"/audit?limit=3&cursor={first['next']}").json()
    ids = [row["id"] for row in first["entries"] + second["entries"]]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 6
    with server.as_user(token) as client:
        assert client.get("/audit").status_code == 403
        assert len(client.get("/projects/default/audit").json()["entries"]) == 6
    for bad in (
        "cursor=x",
        "limit=-1",
        "since=yesterday",
        "outcome=odd",
        "project=a&project=b",
        "colour=red",
    ):
        assert server.api.get(f"/audit?{bad}").status_code in (400, 422)
    assert server.api.get("/audit", params={"actor": "' OR 1=1 --"}).json()["entries"] == []
    assert server.api.get("/audit?since=2999-01-01T00:00:00Z").json()["entries"] == []


def test_a_change_that_is_undone_leaves_a_row_that_says_refused(server: ServerProcess) -> None:
    assert server.api.post("/projects", json={"name": "default"}).status_code == 409
    (row, *_) = entries(server, action="POST /api/v1/projects")
    assert (row["outcome"], row["detail"]["project"]) == ("refused", "default")


def test_registrations_are_told_good_and_refused_ones(server: ServerProcess) -> None:
    TestAgent(server, name="audited-box", token=server.registration())
    with pytest.raises(AssertionError):
        TestAgent(server, name="audited-thief", token="fa_reg_guessed")
    refused, good = entries(server, action="POST /api/v1/agents/register")[:2]
    assert (good["outcome"], good["detail"]["agent"]) == ("done", "audited-box")
    assert (refused["outcome"], refused["detail"]["agent"]) == ("refused", "audited-thief")
