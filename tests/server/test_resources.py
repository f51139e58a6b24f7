"""Runs as they are asked for, secrets, variables, snapshots, and the edges of the HTTP API."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from server.vocabulary import ONE_JOB, TWO_JOBS, ServerProcess, TestAgent, journal

from agent.errors import UsageError
from agent.server.process.own_url import check_own_url, is_host
from agent.server.serve import serve
from agent.server.settings import ServerSettings

Servers = Callable[..., ServerProcess]
Agents = Callable[..., TestAgent]

WITH_INPUTS = """\
on:
  workflow_dispatch:
    inputs:
      epochs: {type: number, default: 3}
      name: {type: string, required: true}
jobs:
  train:
    runs-on: linux
    steps:
      - run: echo ${{ inputs.epochs }} ${{ vars.STAGE }}
"""


def submit(server: ServerProcess, text: str, **more: Any) -> Any:
    return server.api.post("/runs", json={"flow": {"file": "flow.yml", "text": text}, **more})


def test_an_invalid_flow_is_refused_with_every_problem_at_its_place(server: ServerProcess) -> None:
    answer = submit(server, "on: push\njobs:\n  a:\n    runs-on: linux\n    stepz: []\n")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()["problems"][0]
    assert (problem["file"], problem["line"], problem["severity"]) == ("flow.yml", 5, "error")
    assert "stepz" in problem["message"]


def test_a_secret_that_nobody_has_set_is_empty_with_a_warning_at_its_place(server: ServerProcess) -> None:
    answer = submit(server, TWO_JOBS)
    assert answer.status_code == 201
    (warning,) = answer.json()["warnings"]
    assert "flow.yml:3" in warning
    assert "DATA_KEY is not set; it is empty" in warning


def test_a_strict_project_refuses_a_run_with_a_secret_that_nobody_has_set(make_server: Servers) -> None:
    server, strict = make_server(), {"settings": {"strict_secrets": True}}
    assert server.api.patch("/projects/default", json=strict).status_code == 200
    answer = submit(server, TWO_JOBS)
    assert answer.status_code == 422
    assert "DATA_KEY" in answer.json()["detail"]
    assert "flow.yml:3" in answer.json()["detail"]
    assert "agent secret set" in answer.json()["hint"]
    assert server.api.get("/runs").json()["runs"] == []


def test_githubs_token_exists_without_being_set(server: ServerProcess) -> None:
    assert submit(server, ONE_JOB.replace("hello", "${{ secrets.GITHUB_TOKEN }}")).status_code == 201


def test_inputs_are_checked_and_typed(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    assert "name" in submit(server, WITH_INPUTS).json()["detail"]
    assert "colour" in submit(server, WITH_INPUTS, inputs={"name": "a", "colour": "red"}).json()["detail"]
    server.api.put("/variables/STAGE", json={"value": "test"})
    run = server.submit(WITH_INPUTS, inputs={"name": "a", "epochs": "5"})
    assign = make_agent(server).connect().take()
    assert assign.spec.contexts["inputs"] == {"name": "a", "epochs": 5}
    assert assign.spec.contexts["vars"] == {"STAGE": "test"}
    assert assign.spec.contexts["github"]["run_id"] == str(run)
    assert assign.spec.contexts["github"]["event_name"] == "workflow_dispatch"


def test_an_unknown_job_is_refused(server: ServerProcess) -> None:
    answer = submit(server, ONE_JOB, jobs=["nope"])
    assert (answer.status_code, answer.json()["detail"]) == (422, "the flow has no job 'nope' (flow.yml)")


def test_a_missing_snapshot_is_refused_before_anything_runs(server: ServerProcess) -> None:
    source = {"kind": "snapshot", "digest": "sha256:" + "0" * 64}
    answer = submit(server, ONE_JOB, source=source)
    assert answer.status_code == 422
    assert "upload it first" in answer.json()["hint"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"flow": 1}',
        b'{"flow": {"file": "a"}}',
        b'{"flow": {"file": "a", "text": "b"}, "unknown": 1}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"flow": {"file": "a", "text": "b"}, "source": {"kind": "nonsense"}}',
        b'{"flow": {"file": "a", "text": "\\ud800"}}',
    ],
)
def test_bodies_that_make_no_sense_are_a_problem_of_the_caller(server: ServerProcess, body: bytes) -> None:
    answer = server.api.post("/runs", content=body)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["detail"]


def test_a_body_over_the_limit_is_too_large(make_server: Servers) -> None:
    server = make_server(limits={"json_bytes": 1000})
    assert submit(server, "x" * 2000).status_code == 413


def test_runs_are_listed_newest_first_in_pages(make_server: Servers) -> None:
    server = make_server()
    made = [server.submit() for _ in range(5)]
    seen, cursor = [], None
    while True:
        page = server.api.get("/runs", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [run["id"] for run in page["runs"]]
        if (cursor := page["next"]) is None:
            break
    assert seen == made[::-1]
    assert [run["number"] for run in server.api.get("/runs").json()["runs"]] == [5, 4, 3, 2, 1]
    server.api.post(f"/runs/{made[0]}/cancel")
    assert [run["id"] for run in server.api.get("/runs?status=completed").json()["runs"]] == [made[0]]


@pytest.mark.parametrize(
    "path",
    [
        "/runs/999",
        "/runs/" + "9" * 30,
        "/jobs/job_x",
        "/runs/999/events",
        "/agents/x",
        "/artifacts/9/download",
    ],
)
def test_what_is_not_there_is_not_found(server: ServerProcess, path: str) -> None:
    answer = server.api.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "query",
    [
        "limit=x",
        "limit=0",
        "limit=-1",
        "limit=" + "9" * 40,
        "limit=1&limit=2",
        "limits=1",
        "status=lost",
        "status=' OR 1=1 --",
        "cursor=" + "A" * 2000,
    ],
)
def test_strange_queries_are_refused(server: ServerProcess, query: str) -> None:
    assert server.api.get(f"/runs?{query}").status_code == 400


@pytest.mark.parametrize("cursor", ["'; DROP TABLE runs", "eyJ4IjoxfQ", "LTE", "\u00e9", "AA", "%00"])
def test_a_cursor_of_somebody_elses_is_refused(server: ServerProcess, cursor: str) -> None:
    assert server.api.get(f"/runs?cursor={cursor}").status_code == 422


def test_secrets_show_names_and_never_values(make_server: Servers) -> None:
    server = make_server()
    server.set_secret("hf_token", "very-secret-value")
    shown = server.api.get("/secrets")
    assert [entry["name"] for entry in shown.json()["secrets"]] == ["HF_TOKEN"]
    assert "very-secret-value" not in shown.text
    assert server.api.delete("/secrets/HF_TOKEN").status_code == 204
    assert server.api.delete("/secrets/HF_TOKEN").status_code == 404


@pytest.mark.parametrize("name", ["GITHUB_TOKEN", "ACTIONS_X", "1A", "-B", "A B", "A" * 300, "Ä"])
def test_names_that_no_secret_may_have_are_refused(server: ServerProcess, name: str) -> None:
    assert server.api.put(f"/secrets/{name}", json={"value": "x"}).status_code == 422
    assert server.api.put(f"/variables/{name}", json={"value": "x"}).status_code == 422


def test_a_secrets_value_has_limits(server: ServerProcess) -> None:
    assert server.api.put("/secrets/A", json={"value": ""}).status_code == 422
    assert server.api.put("/secrets/A", json={"value": "x" * 65_537}).status_code == 422
    assert server.api.put("/secrets/A", json={"valu": "x"}).status_code == 400


def test_no_file_of_the_server_and_no_word_of_its_log_holds_a_secret_or_a_token(
    make_server: Servers, make_agent: Agents
) -> None:
    server = make_server()
    secret = "s3cr3t-Iris-9f2b7c"
    server.set_secret("DATA_KEY", secret)
    server.api.put("/secrets/DATA_KEY", content=json.dumps({"value": secret})[:-1])  # a broken body
    server.submit(TWO_JOBS)
    agent = make_agent(server).connect()
    assign = agent.take()
    runtime = agent.open(assign, "ACTIONS_RUNTIME_TOKEN")
    server.http.get("/api/v1/runs", params={"token": secret}, headers={"Authorization": f"Bearer {secret}"})
    server.http.get(f"/blobs/artifacts/1/content?se=1&sig={secret}")
    agent.finish(assign, journal(assign, outputs={"model": "m"}))
    server.stop()
    hidden = [secret, runtime, server.token, server.registration_token]
    for file in [server.log, *(path for path in server.data.rglob("*") if path.is_file())]:
        content = file.read_bytes()
        for value in hidden:
            assert value.encode() not in content, file
    server.start()


def test_variables_show_their_values(make_server: Servers) -> None:
    server = make_server()
    server.api.put("/variables/stage", json={"value": "test"})
    (shown,) = server.api.get("/variables").json()["variables"]
    assert (shown["name"], shown["value"]) == ("STAGE", "test")
    assert server.api.delete("/variables/STAGE").status_code == 204
    assert server.api.get("/variables").json()["variables"] == []


def test_a_snapshot_is_stored_once_by_its_digest(server: ServerProcess) -> None:
    content = b"\x1f\x8b" + b"tree" * 100_000
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    path = f"/snapshots/{digest}"
    assert server.api.head(path).status_code == 404
    assert server.api.put(path, content=content).status_code == 201
    assert server.api.put(path, content=content).status_code == 200
    head = server.api.head(path)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(content)))
    assert server.api.get(path).content == content


def test_a_snapshot_with_another_digest_is_not_stored(server: ServerProcess) -> None:
    path = "/snapshots/sha256:" + "1" * 64
    assert server.api.put(path, content=b"other").status_code == 422
    assert server.api.head(path).status_code == 404


@pytest.mark.parametrize(
    "digest", ["sha256:..", "sha256:" + "G" * 64, "md5:" + "0" * 32, "..%2f..%2fmaster.key"]
)
def test_only_digests_name_snapshots(server: ServerProcess, digest: str) -> None:
    assert server.api.put(f"/snapshots/{digest}", content=b"x").status_code in (400, 404, 405)


def test_a_job_reads_its_own_runs_snapshot_and_no_other(make_server: Servers, make_agent: Agents) -> None:
    server = make_server()
    digests = []
    for content in (b"mine", b"other"):
        digests.append(f"sha256:{hashlib.sha256(content).hexdigest()}")
        server.api.put(f"/snapshots/{digests[-1]}", content=content)
    server.submit(ONE_JOB, source={"kind": "snapshot", "digest": digests[0]})
    agent = make_agent(server).connect()
    assign = agent.take()
    headers = {"Authorization": f"Bearer {agent.open(assign, 'ACTIONS_RUNTIME_TOKEN')}"}
    mine = server.http.get(f"/api/v1/snapshots/{digests[0]}", headers=headers)
    assert mine.content == b"mine"
    assert server.http.get(f"/api/v1/snapshots/{digests[1]}", headers=headers).status_code == 403
    assert server.http.put(f"/api/v1/snapshots/{digests[1]}", headers=headers).status_code == 401


def test_the_installer_names_this_server(server: ServerProcess) -> None:
    script = server.http.get("/install.sh").text
    assert script.startswith("#!")
    assert f"DEFAULT_URL={server.url} " in script
    assert server.http.get("/install.sh").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:80",
        "127.0.0.2",
        "x$(id)",
        "[::1",
        "127.0.0.1:99999",
        "a'b",
        "[::1]x",
    ],
)
def test_the_installer_names_no_host_that_anybody_could_have_written(
    server: ServerProcess, host: str
) -> None:
    script = server.http.get("/install.sh", headers={"Host": host}).text
    assert f"://{host}" not in script
    assert "evil" not in script
    assert "$(id)" not in script


def test_the_public_url_is_what_answers_name_whatever_the_host_says(make_server: Servers) -> None:
    server = make_server(public_url="https://flows.example.com")
    address = (server.data / "address").read_text().strip()
    evil = {"Host": "evil.example", "Authorization": f"Bearer {server.token}"}
    assert "DEFAULT_URL=https://flows.example.com " in httpx.get(f"{address}/install.sh", headers=evil).text
    submit = {"flow": {"file": "flow.yml", "text": ONE_JOB}}
    started = httpx.post(f"{address}/api/v1/runs", json=submit, headers=evil).json()
    assert started["url"].startswith("https://flows.example.com/status/runs/")


@pytest.mark.parametrize("host", ["x$(id)", "[::1", "127.0.0.1:99999", "a/b", "[::1]x", "[1.2.3.4]"])
def test_no_answer_names_a_host_that_can_be_none(server: ServerProcess, host: str) -> None:
    run = server.submit(ONE_JOB)
    shown = server.api.get(f"/runs/{run}", headers={"Host": host})
    assert (shown.status_code, shown.json()["url"]) == (200, f"{server.url}/status/runs/{run}")


@pytest.mark.parametrize(
    "url",
    ["http://[::1", "http://host:99999", "ftp://host", "http://user:pw@host", "https://host/a b", "host"],
)
def test_a_public_url_that_can_be_none_is_told_at_the_start(url: str) -> None:
    with pytest.raises(UsageError, match="no address of a server"):
        check_own_url(url, "--public-url")


@pytest.mark.parametrize("url", ["s3://[", "http://x", "s3://a@b/c"])
def test_a_place_for_blobs_that_can_be_none_is_told_at_the_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match="not a place for blobs"):
        serve(ServerSettings(listen="127.0.0.1:0", data=tmp_path / "data", blobs_url=url), lambda _: None)


@given(st.text("[]:.%1af@/x-"))
def test_a_host_of_the_right_form_always_makes_a_url(text: str) -> None:
    if is_host(text):
        parts = urlsplit(f"http://{text}")
        assert parts.hostname
        assert parts.port is None or parts.port > 0


def test_an_agent_is_shown_with_its_machine_and_labels(server: ServerProcess) -> None:
    agent = TestAgent(server, name="shown", token=server.registration(labels=["lab"]), labels=["gpu-box"])
    shown = server.api.get(f"/agents/{agent.id}").json()
    assert shown["labels"] == ["self-hosted", "linux", "x64", "gpu-box", "lab"]
    assert (shown["status"], shown["inventory"]["hostname"]) == ("offline", "box-1")
    assert agent.id in [entry["id"] for entry in server.api.get("/agents").json()["agents"]]
