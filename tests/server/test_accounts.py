"""Users, tokens, roles and projects over the API."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from server.vocabulary import ServerProcess, TestAgent

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def lab(server: ServerProcess) -> Iterator[dict[str, httpx.Client]]:
    """The server with a project `vision`, and one user a role in it, each as a client of the API."""
    assert server.api.post("/projects", json={"name": "vision"}).status_code == 201
    clients = {
        role: server.as_user(server.add_user(f"a-{role}", role=role, project="vision"))
        for role in ("viewer", "runner", "maintainer", "admin")
    }
    clients["nobody"] = server.as_user(server.add_user("a-nobody"))
    yield clients
    for client in clients.values():
        client.close()


def test_everybody_can_ask_who_they_are(server: ServerProcess, lab: Any) -> None:
    me = lab["runner"].get("/user").json()
    assert (me["name"], me["kind"], me["admin"], me["roles"]) == (
        "a-runner",
        "person",
        False,
        {"vision": "runner"},
    )
    first = server.api.get("/user").json()
    assert (first["name"], first["admin"]) == ("admin", True)
    assert first["roles"]["default"] == "admin"


def sounds(answer: httpx.Response, thing: str) -> tuple[int, str]:
    """What an answer says, less the thing that was asked for."""
    return answer.status_code, answer.json()["detail"].replace(thing, "THING")


def test_a_project_is_seen_by_its_members_only(lab: Any) -> None:
    assert [project["name"] for project in lab["viewer"].get("/projects").json()["projects"]] == ["vision"]
    assert lab["nobody"].get("/projects").json()["projects"] == []
    hidden, unknown = lab["nobody"].get("/projects/vision"), lab["nobody"].get("/projects/no-such")
    assert hidden.status_code == 404
    assert sounds(hidden, "vision") == sounds(unknown, "no-such")


def test_a_run_belongs_to_the_project_that_it_was_started_in(server: ServerProcess, lab: Any) -> None:
    flow = {
        "file": "train.yml",
        "text": "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - run: echo\n",
    }
    answer = lab["runner"].post("/runs?project=vision", json={"flow": flow})
    assert answer.status_code == 201, answer.text
    run = answer.json()["run"]
    assert lab["viewer"].get(f"/runs/{run}").json()["actor"] == "a-runner"
    assert [row["id"] for row in lab["viewer"].get("/runs?project=vision").json()["runs"]] == [run]
    assert run not in [row["id"] for row in server.api.get("/runs").json()["runs"]]
    job = lab["viewer"].get(f"/runs/{run}").json()["jobs"][0]["id"]
    for path, thing in ((f"/runs/{run}", run), (f"/runs/{run}/events", run), (f"/jobs/{job}/log", job)):
        other = "999999" if thing == run else "job_nosuchjob"
        unknown = lab["nobody"].get(path.replace(str(thing), other))
        hidden = lab["nobody"].get(path)
        assert hidden.status_code == 404
        assert sounds(hidden, str(thing)) == sounds(unknown, other)
    assert lab["viewer"].get(f"/runs/{run}?project=default").status_code == 404
    assert lab["viewer"].post(f"/runs/{run}/cancel", json={}).status_code == 403
    assert lab["runner"].post(f"/runs/{run}/cancel", json={}).status_code == 200


def test_each_project_counts_its_runs_of_a_flow_by_itself(server: ServerProcess) -> None:
    for name in ("count-a", "count-b"):
        server.api.post("/projects", json={"name": name})
    flow = {"file": "f.yml", "text": "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - run: echo\n"}
    runs = [
        server.api.post(f"/runs?project={project}", json={"flow": flow}).json()["run"]
        for project in ("count-a", "count-a", "count-b")
    ]
    assert [server.run(run)["number"] for run in runs] == [1, 2, 1]


def test_a_user_that_is_disabled_has_no_tokens_left_even_when_enabled_again(server: ServerProcess) -> None:
    token = server.add_user("leaver", role="viewer")
    with server.as_user(token) as client:
        assert client.get("/runs").status_code == 200
        assert server.api.patch("/users/leaver", json={"disabled": True}).json()["disabled"]
        assert client.get("/runs").status_code == 401
        assert server.api.post("/users/leaver/tokens", json={}).status_code == 409
        assert server.api.patch("/users/leaver", json={"disabled": False}).json()["disabled"] is None
        assert client.get("/runs").status_code == 401


def test_the_last_admin_of_the_organisation_stays(make_server: Servers) -> None:
    server = make_server()
    for change in ({"admin": False}, {"disabled": True}):
        assert server.api.patch("/users/admin", json=change).status_code == 409
    server.add_user("second", admin=True)
    assert server.api.patch("/users/admin", json={"admin": False}).status_code == 200
    assert server.api.get("/users").status_code == 403


@pytest.mark.parametrize(
    "name", ["", "Ada", "a b", "../x", "-a", "a" * 64, "a\n", "é", "a/b", "'; DROP TABLE users"]
)
def test_names_are_small_and_plain(server: ServerProcess, name: str) -> None:
    assert server.api.post("/users", json={"name": name}).status_code == 422
    assert server.api.post("/projects", json={"name": name}).status_code == 422


def test_names_are_taken_once(server: ServerProcess) -> None:
    assert server.api.post("/projects", json={"name": "default"}).status_code == 409
    assert server.api.post("/users", json={"name": "admin"}).status_code == 409


# Tokens


def test_a_token_of_ones_own_is_shown_once_and_stored_as_a_hash(server: ServerProcess, lab: Any) -> None:
    made = lab["runner"].post("/user/tokens", json={"name": "laptop", "expires_seconds": 3600}).json()
    assert made["token"].startswith("fa_api_")
    assert made["token"] not in lab["runner"].get("/user/tokens").text
    rows = server.sql("SELECT * FROM tokens WHERE id = ?", made["id"])
    assert hashlib.sha256(made["token"].encode()).hexdigest() in rows[0]
    assert made["token"] not in str(rows)
    assert lab["runner"].delete(f"/user/tokens/{made['id']}").status_code == 204
    with server.as_user(made["token"]) as client:
        assert client.get("/user").status_code == 401


def test_nobody_ends_a_token_of_somebody_else(lab: Any) -> None:
    made = lab["runner"].post("/user/tokens", json={}).json()
    assert lab["viewer"].delete(f"/user/tokens/{made['id']}").status_code == 404
    assert lab["admin"].delete(f"/users/a-runner/tokens/{made['id']}").status_code == 403


def test_a_limited_token_makes_no_stronger_one(server: ServerProcess, lab: Any) -> None:
    limits = {"role": "viewer", "project": "vision", "expires_seconds": 600}
    limited = server.api.post("/user/tokens", json=limits).json()
    with server.as_user(limited["token"]) as client:
        assert client.get("/projects/vision").json()["role"] == "viewer"
        assert client.get("/projects/default").status_code == 404
        assert client.get("/users").status_code == 403
        made = client.post("/user/tokens", json={"role": "admin"}).json()
        assert (made["role"], made["project"]) == ("viewer", limited["project"])
        assert made["expires"] <= limited["expires"]
        assert client.post("/user/tokens", json={"project": "default"}).status_code == 404
        assert client.put("/user/password", json={"new": PASSWORD}).status_code == 403


def test_a_token_that_is_over_opens_nothing(server: ServerProcess) -> None:
    server.add_user("shortly", role="viewer")
    made = server.api.post("/users/shortly/tokens", json={"expires_seconds": 1e-6}).json()
    with server.as_user(made["token"]) as client:
        assert client.get("/user").status_code == 401


def test_the_last_use_of_a_token_is_noted(lab: Any) -> None:
    (token,) = lab["maintainer"].get("/user/tokens").json()["tokens"]
    assert token["last_used"] is not None


def test_service_accounts_have_tokens_and_no_password(server: ServerProcess) -> None:
    assert (
        server.api.post("/users", json={"name": "robot", "kind": "service", "password": PASSWORD}).status_code
        == 422
    )
    token = server.add_user("robot", kind="service", role="runner")
    with server.as_user(token) as client:
        assert client.get("/user").json()["kind"] == "service"


# Passwords


def sign_in(server: ServerProcess, name: str, password: str) -> httpx.Response:
    return server.http.post("/api/v1/login", json={"user": name, "password": password})


def test_a_name_and_a_password_give_a_token(server: ServerProcess) -> None:
    server.add_user("grace", role="viewer", password=PASSWORD)
    answer = sign_in(server, "Grace", PASSWORD)
    assert (answer.status_code, answer.json()["user"]) == (201, "grace")
    with server.as_user(answer.json()["token"]) as client:
        assert client.get("/user").json()["name"] == "grace"


def test_an_unknown_name_a_wrong_password_and_a_disabled_user_sound_the_same(server: ServerProcess) -> None:
    server.add_user("gone", password=PASSWORD)
    server.api.patch("/users/gone", json={"disabled": True})
    server.add_user("without-password")
    server.add_user("here", password=PASSWORD)
    answers = [
        sign_in(server, "here", PASSWORD + "x"),
        sign_in(server, "never-was", PASSWORD),
        sign_in(server, "gone", PASSWORD),
        sign_in(server, "without-password", ""),
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.text for answer in answers}) == 1


def test_guesses_at_a_name_are_limited_and_then_not_even_looked_at(make_server: Servers) -> None:
    server = make_server(limits={"failures_per_minute": 3})
    server.add_user("target", password=PASSWORD)
    assert [sign_in(server, "target", f"{PASSWORD}{n}").status_code for n in range(4)] == [401] * 3 + [429]
    assert sign_in(server, "target", PASSWORD).status_code == 429


def test_guesses_that_come_at_once_are_counted_before_they_are_looked_at(make_server: Servers) -> None:
    server = make_server(limits={"failures_per_minute": 4})
    server.add_user("target", password=PASSWORD)
    guesses = [*(f"{PASSWORD}{n}" for n in range(30)), PASSWORD]
    with ThreadPoolExecutor(31) as pool:
        codes = [
            answer.status_code for answer in pool.map(lambda guess: sign_in(server, "target", guess), guesses)
        ]
    assert sum(code != 429 for code in codes) <= 5  # a right one among them is given back


def guess_from(server: ServerProcess, address: str, name: str) -> int:
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address)) as client:
        body = {"user": name, "password": "x" * 12}
        return client.post(f"{server.url}/api/v1/login", json=body).status_code


def test_guesses_at_one_account_count_together_wherever_they_come_from(make_server: Servers) -> None:
    server = make_server(limits={"failures_per_minute": 3})
    server.add_user("target", password=PASSWORD)
    codes = [guess_from(server, f"127.0.0.{number}", "target") for number in range(2, 6)]
    assert codes == [401, 401, 401, 429]
    assert guess_from(server, "127.0.0.6", "another") == 401


def test_guesses_from_one_address_count_together_whosever_account_they_are_at(make_server: Servers) -> None:
    server = make_server(limits={"failures_per_minute": 3})
    codes = [guess_from(server, "127.0.0.2", name) for name in ("ada", "eve", "bob", "kim")]
    assert codes == [401, 401, 401, 429]
    assert guess_from(server, "127.0.0.3", "lee") == 401


def test_a_password_that_is_right_is_no_failure(make_server: Servers) -> None:
    server = make_server(limits={"failures_per_minute": 3})
    server.add_user("often", password=PASSWORD)
    assert {sign_in(server, "often", PASSWORD).status_code for _ in range(10)} == {201}


@pytest.mark.parametrize("password", ["", "short", "x" * 1025])
def test_a_password_is_neither_short_nor_endless(server: ServerProcess, password: str) -> None:
    answer = server.api.post("/users", json={"name": "someone", "password": password})
    assert answer.status_code in (400, 422)
    assert password not in answer.text or not password


def test_a_password_is_changed_by_who_knows_it(server: ServerProcess) -> None:
    server.add_user("hopper", password=PASSWORD)
    with server.as_user(server.api.post("/users/hopper/tokens", json={}).json()["token"]) as client:
        change = {"current": "something else", "new": PASSWORD * 2}
        assert client.put("/user/password", json=change).status_code == 401
        assert client.put("/user/password", json={**change, "current": PASSWORD}).status_code == 204
    assert sign_in(server, "hopper", PASSWORD).status_code == 401
    assert sign_in(server, "hopper", PASSWORD * 2).status_code == 201


def test_no_password_is_stored_in_clear(server: ServerProcess) -> None:
    server.add_user("plain", password="a password like no other")
    for file in server.data.rglob("*"):
        assert not file.is_file() or b"a password like no other" not in file.read_bytes()


# Projects


def test_settings_are_checked_and_changed_one_by_one(server: ServerProcess) -> None:
    server.api.post("/projects", json={"name": "tuned", "settings": {"weight": 2, "keep_logs_days": 30}})
    changed = server.api.patch("/projects/tuned", json={"settings": {"max_gpus": 8, "keep_logs_days": None}})
    settings = changed.json()["settings"]
    assert (settings["weight"], settings["max_gpus"], settings["keep_logs_days"]) == (2.0, 8, None)
    for bad in ({"weight": 0}, {"weight": "2"}, {"max_gpus": -1}, {"keep_logs_days": 0}, {"colour": "red"}):
        assert server.api.patch("/projects/tuned", json={"settings": bad}).status_code == 422
    assert server.api.get("/projects/tuned").json()["settings"] == settings


def test_what_a_project_takes_from_the_others_is_not_for_its_own_admin_to_say(lab: Any) -> None:
    change = {"settings": {"description": "cats and dogs"}}
    assert lab["admin"].patch("/projects/vision", json=change).status_code == 200
    for setting in ("weight", "max_running_jobs", "max_gpus", "max_artifact_bytes", "max_cache_bytes"):
        answer = lab["admin"].patch("/projects/vision", json={"settings": {setting: 9}})
        assert answer.status_code == 403


def test_nothing_new_happens_in_an_archived_project(server: ServerProcess) -> None:
    server.api.post("/projects", json={"name": "old"})
    server.add_user("keeper", role="admin", project="old")
    flow = {"file": "f.yml", "text": "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - run: echo\n"}
    run = server.api.post("/runs?project=old", json={"flow": flow}).json()["run"]
    assert server.api.patch("/projects/old", json={"archived": True}).status_code == 409
    server.api.post(f"/runs/{run}/cancel", json={})
    assert server.api.patch("/projects/old", json={"archived": True}).json()["archived"]
    assert server.api.post("/runs?project=old", json={"flow": flow}).status_code == 409
    assert server.api.get("/runs?project=old").status_code == 200
    assert server.api.patch("/projects/old", json={"archived": False}).json()["archived"] is None
    assert server.api.post("/runs?project=old", json={"flow": flow}).status_code == 201


def test_a_role_is_given_changed_and_taken_away(server: ServerProcess, lab: Any) -> None:
    token = server.add_user("guest")
    with server.as_user(token) as guest:
        assert guest.get("/projects/vision").status_code == 404
        assert lab["admin"].put("/projects/vision/members/guest", json={"role": "viewer"}).status_code == 200
        assert guest.get("/projects/vision").json()["role"] == "viewer"
        assert guest.put("/projects/vision/members/guest", json={"role": "admin"}).status_code == 403
        assert lab["admin"].put("/projects/vision/members/guest", json={"role": "king"}).status_code == 422
        assert {"name": "guest", "role": "viewer", "origin": "set"} in lab["viewer"].get(
            "/projects/vision/members"
        ).json()["members"]
        assert lab["admin"].delete("/projects/vision/members/guest").status_code == 204
        assert guest.get("/projects/vision").status_code == 404


# Agents for one project


def test_a_registration_token_for_a_project_makes_agents_of_that_project_and_group(
    server: ServerProcess, make_agent: Agents
) -> None:
    server.api.post("/projects", json={"name": "bound"})
    made = server.api.post("/registration-tokens", json={"project": "bound", "group": "a100"}).json()
    assert (made["project"], made["group"]) == ("bound", "a100")
    agent = make_agent(server, name="bound-box", token=made["token"], group="mine").connect()
    assert server.api.get(f"/agents/{agent.id}").json()["group"] == "a100"
    flow = {
        "file": "f.yml",
        "text": "on: push\njobs:\n  a:\n    runs-on: linux\n    steps:\n    - run: echo\n",
    }
    elsewhere = server.api.post("/runs", json={"flow": flow}).json()["run"]
    own = server.api.post("/runs?project=bound", json={"flow": flow}).json()["run"]
    assert agent.take().spec.run == own
    assert server.run(elsewhere)["jobs"][0]["status"] == "queued"
    assert server.api.post("/registration-tokens", json={"project": "no-such"}).status_code == 404
