"""Secrets and variables at their levels: the nearest one counts, and only who may gets one."""

from collections.abc import Callable
from typing import Any

import pytest
from server.vocabulary import ServerProcess, TestAgent, journal

from agent.server.people.levels import may_be_used, nearest
from agent.server.store.settings import Level, SecretRow

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]
FLOW = """\
on: workflow_dispatch
jobs:
  train:
    runs-on: linux
    %s
    steps:
      - run: echo ${{ secrets.SHARED }} ${{ secrets.OWN }} ${{ secrets.NEAR }} ${{ vars.REGION }}
"""


def row(name: str, project: int = 0, environment: str = "", refs: tuple[str, ...] = ()) -> SecretRow:
    return SecretRow(Level(project, environment), name, b"", refs, 0.0)


def test_the_nearest_level_wins_whatever_the_order() -> None:
    rows = [row("A"), row("A", 1), row("A", 1, "prod"), row("B"), row("B", 1), row("C", 1, "test")]
    for order in (rows, rows[::-1]):
        assert nearest(order)["A"].level == Level(1)
        found = nearest(order, "Prod")
        assert {name: found[name].level.name for name in found} == {"A": "environment", "B": "project"}


@pytest.mark.parametrize(
    ("refs", "ref", "expected"),
    [
        ((), "refs/heads/x", True),
        (("main",), "refs/heads/main", True),
        (("main",), "refs/heads/mainx", False),
        (("main",), "refs/pull/1/merge", False),
        (("release/**",), "refs/heads/release/1/2", True),
        (("refs/tags/v*",), "refs/tags/v1", True),
        (("refs/tags/v*",), "refs/heads/v1", False),
        (("**", "!main"), "refs/heads/main", False),
        (("**", "!main"), "refs/heads/x", True),
        (("main",), "refs/tags/main", False),
    ],
)
def test_a_secret_is_for_the_refs_that_fit(refs: tuple[str, ...], ref: str, expected: bool) -> None:
    assert may_be_used(row("A", refs=refs), ref) is expected


def put(server: ServerProcess, path: str, value: str, status: int = 200, **more: Any) -> str:
    answer = server.api.put(path, json={"value": value, **more})
    assert answer.status_code == status, answer.text
    return answer.text


def opened(agent: TestAgent, assign: Any) -> dict[str, str]:
    names = ("SHARED", "OWN", "NEAR")
    return {name: agent.open(assign, name) for name in names if name in assign.sealed}


def test_a_job_gets_the_nearest_of_each_and_its_environments_own(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    for name in ("SHARED", "OWN", "NEAR"):
        put(server, f"/organisation/secrets/{name}", "organisation")
    for name in ("own", "NEAR"):
        put(server, f"/secrets/{name}", "project")
    put(server, "/secrets/NEAR?environment=prod", "environment")
    put(server, "/organisation/variables/REGION", "organisation")
    put(server, "/variables/REGION", "project")
    put(server, "/variables/REGION?environment=prod", "environment")
    agent = make_agent(server).connect()
    server.submit(FLOW % "")
    plain = agent.take()
    assert opened(agent, plain) == {"SHARED": "organisation", "OWN": "project", "NEAR": "project"}
    assert plain.spec.contexts["vars"]["REGION"] == "project"
    agent.finish(plain, journal(plain))
    server.submit(FLOW % "environment: prod")
    inside = agent.take()
    assert opened(agent, inside) == {"SHARED": "organisation", "OWN": "project", "NEAR": "environment"}
    assert inside.spec.contexts["vars"]["REGION"] == "environment"
    agent.finish(inside, journal(inside))
    shown = {(r["name"], r["level"], r["environment"]) for r in server.api.get("/secrets").json()["secrets"]}
    assert ("NEAR", "environment", "prod") in shown
    assert ("SHARED", "organisation", "") in shown
    assert "environment" not in server.api.get("/organisation/secrets").text.replace('"environment":""', "")


def test_a_secret_for_some_refs_is_not_sealed_for_others(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    put(server, "/secrets/OWN", "for main", refs=["main"])
    for name in ("SHARED", "NEAR"):
        put(server, f"/secrets/{name}", "for all")
    agent = make_agent(server).connect()
    for ref, expected in (
        ("refs/heads/main", {"OWN", "SHARED", "NEAR"}),
        ("refs/heads/x", {"SHARED", "NEAR"}),
        ("", {"SHARED", "NEAR"}),
    ):
        agent.disconnect()
        run = server.submit(FLOW % "")
        if ref:
            server.put_on(run, ref)
        agent.connect()
        assign = agent.take()
        assert set(opened(agent, assign)) == expected
        agent.finish(assign, journal(assign))


def test_a_run_that_is_not_trusted_gets_none(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    for name in ("SHARED", "OWN", "NEAR"):
        put(server, f"/secrets/{name}", "x")
    run = server.submit(FLOW % "")
    server.sql(
        'INSERT INTO origins (run, start, flow, "commit", is_trusted, depth)'
        " VALUES (?, 'x', 'f', 'c', FALSE, 0)",
        run,
    )
    agent = make_agent(server).connect()
    assert opened(agent, agent.take()) == {}


def test_another_projects_secrets_are_its_own(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    assert server.api.post("/projects", json={"name": "other"}).status_code == 201
    for name in ("SHARED", "OWN", "NEAR"):
        put(server, f"/secrets/{name}?project=other", "theirs")
    put(server, "/secrets/SHARED", "ours")
    started = server.api.post("/runs", json={"flow": {"file": "flow.yml", "text": FLOW % ""}})
    assert any("secret OWN is not set" in warning for warning in started.json()["warnings"])
    shown = server.api.get("/secrets").json()["secrets"]
    assert [entry["name"] for entry in shown] == ["SHARED"]
    assert server.api.delete("/secrets/OWN").status_code == 404
    assert server.api.delete("/secrets/OWN?project=other").status_code == 204


def test_what_is_too_large_too_many_or_badly_named_is_refused(make_server: Servers) -> None:
    server = make_server()
    put(server, "/secrets/BIG", "x" * (48 << 10))
    assert "49152 bytes" in put(server, "/secrets/BIG", "x" * ((48 << 10) + 1), 422)
    assert "49152 bytes" in put(server, "/variables/BIG", "x" * ((48 << 10) + 1), 422)
    put(server, "/secrets/EMPTY", "", 422)
    put(server, "/secrets/GITHUB_X", "x", 422)
    put(server, "/secrets/OK?environment=a%0Ab", "x", 422)
    put(server, "/secrets/OK", "x", 422, refs=["["])
    put(server, "/secrets/OK", "x", 422, refs=["a"] * 51)
    names = ", ".join(f"(1, 'prod', 'S{n}', '', '[]', 0)" for n in range(100))
    server.sql(f"INSERT INTO secrets VALUES {names}")
    assert "has 100 secrets" in put(server, "/secrets/ONE_MORE?environment=prod", "x", 422)


def test_a_sealed_secret_that_is_moved_to_another_level_does_not_open(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    for name in ("SHARED", "OWN", "NEAR"):
        put(server, f"/secrets/{name}", "x")
    put(server, "/secrets/OWN?environment=prod", "of prod")
    server.sql("DELETE FROM secrets WHERE name = 'OWN' AND environment = ''")
    server.sql("UPDATE secrets SET environment = '' WHERE name = 'OWN'")
    run = server.submit(FLOW % "")
    make_agent(server).connect()
    job = server.wait_for_job(run, status="completed")
    assert job["failure_kind"] == "infrastructure"


STAGES = """\
name: relay
stages:
  - {name: in, action: webhook, config: {path: /orders}, out: out}
  - {name: out, action: webhook, config: {url: "https://${secret.my-api-host}/x"}}
"""


def test_a_secret_may_have_the_dashes_with_which_a_flow_of_stages_names_it(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    put(server, "/secrets/my-api-host", "example.org")
    agent = make_agent(server).connect()
    server.submit(STAGES)
    assign = agent.take()
    assert assign.spec.secrets == ("MY-API-HOST",)
    assert agent.open(assign, "MY-API-HOST") == "example.org"
    agent.finish(assign, journal(assign))


def test_a_variable_has_none_and_a_secret_does_not_begin_with_one(make_server: Servers) -> None:
    server = make_server()
    assert "use letters, digits and _" in put(server, "/variables/my-host", "x", status=422)
    assert "use letters, digits, _ and -" in put(server, "/secrets/-host", "x", status=422)
