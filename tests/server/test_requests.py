"""What holds for every request: repeated ones, too many of them, ids, and errors that Starlette itself raises."""

import json
import threading
from collections.abc import Callable

import httpx
import pytest
from server.vocabulary import ONE_JOB, ServerProcess

from agent.clock import Clock
from agent.server.people.auth.rates import Rates
from agent.server.process.problems import KINDS

Servers = Callable[..., ServerProcess]
SUBMIT = {"flow": {"file": "flow.yml", "text": ONE_JOB}}


def submit(server: ServerProcess, key: str, body: object = None) -> httpx.Response:
    return server.api.post("/runs", json=body or SUBMIT, headers={"Idempotency-Key": key})


def test_a_repeated_request_happens_once_and_gets_the_same_answer(make_server: Servers) -> None:
    server = make_server()
    first, second = submit(server, "k-1"), submit(server, "k-1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert len(server.api.get("/runs").json()["runs"]) == 1
    server.restart_after_kill()
    assert submit(server, "k-1").json() == first.json()
    assert submit(server, "k-2").json() != first.json()


def test_a_key_with_another_body_or_address_is_refused(make_server: Servers) -> None:
    server = make_server()
    run = submit(server, "k").json()["run"]
    other = submit(server, "k", {**SUBMIT, "inputs": {"a": "b"}})
    assert (other.status_code, "another request" in other.json()["detail"]) == (422, True)
    cancel = server.api.post(f"/runs/{run}/cancel", headers={"Idempotency-Key": "k"})
    assert cancel.status_code == 422
    assert server.run(run)["status"] == "queued"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9"])
def test_a_key_has_a_form(server: ServerProcess, key: str) -> None:
    assert server.api.post("/runs", json=SUBMIT, headers={"Idempotency-Key": key.encode()}).status_code == 400


def test_a_refused_request_uses_up_no_key(make_server: Servers) -> None:
    server = make_server()
    assert submit(server, "k", {"flow": {"file": "f.yml", "text": "nonsense"}}).status_code == 422
    assert submit(server, "k").status_code == 201


def test_of_many_with_one_key_at_once_one_happens(make_server: Servers) -> None:
    server = make_server()
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(submit(server, "race"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.json()["run"] for answer in answers if answer.status_code == 201}) == 1
    assert len(server.api.get("/runs").json()["runs"]) == 1


def test_a_stored_answer_is_readable_by_nobody(make_server: Servers) -> None:
    server = make_server()
    made = [
        server.api.post("/registration-tokens", json={}, headers={"Idempotency-Key": "t"}).json()["token"]
        for _ in range(2)
    ]
    assert made[0] == made[1]
    server.stop()
    for file in server.data.rglob("*"):
        assert not file.is_file() or made[0].encode() not in file.read_bytes(), file
    server.start()


class Hand(Clock):
    """A clock that is set by hand."""

    seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def monotonic(self) -> float:
        return self.seconds


def test_a_bucket_empties_and_fills_again() -> None:
    clock = Hand()
    rates = Rates(clock, 2.0, 3)
    taken = [rates.take("token", "a") for _ in range(4)]
    assert [standing and standing.remaining for standing in taken] == [2, 1, 0, 0]
    assert [standing and standing.retry_seconds for standing in taken] == [0, 0, 0, 1]
    assert taken[2] is not None
    assert taken[2].headers == {"RateLimit-Policy": '"token";q=3;w=2', "RateLimit": '"token";r=0;t=2'}
    other = rates.take("token", "b")
    assert other is not None
    assert other.remaining == 2
    clock.seconds = 0.5
    again = rates.take("token", "a")
    assert again is not None
    assert again.retry_seconds == 0
    assert Rates(clock, 0, 0).take("token", "a") is None


def test_too_many_requests_are_told_when_to_come_back(make_server: Servers) -> None:
    server = make_server(limits={"requests_per_second": 0.001, "requests_burst": 3})
    answers = [server.api.get("/runs") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers.get("ratelimit", "")[:11] for answer in answers[:3]] == [
        f'"token";r={n}' for n in (2, 1, 0)
    ]
    refused = answers[-1]
    assert int(refused.headers["retry-after"]) > 1
    assert refused.json()["type"] == "/problems/too-many"
    strangers = [server.http.get("/healthz").status_code for _ in range(4)]
    assert strangers == [200, 200, 200, 429]  # an address has a bucket of its own


def test_every_answer_names_its_request(server: ServerProcess) -> None:
    ids = {server.api.get(path).headers["x-request-id"] for path in ("/runs", "/nothing", "/runs/99999")}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("verb", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/", 404),
        ("GET", "/api/v1/runs/", 404),
        ("GET", "/api/v1/runs/x", 404),
        ("GET", "//evil.example", 404),
        ("PATCH", "/api/v1/runs", 405),
        ("TRACE", "/healthz", 405),
    ],
)
def test_what_no_route_has_is_a_problem_too(server: ServerProcess, verb: str, path: str, status: int) -> None:
    answer = httpx.request(verb, server.url + path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["hint"]
    page = server.http.get(answer.json()["type"])
    assert page.text.startswith(f"{status} ")


def test_405_lists_all_verbs_of_the_path(server: ServerProcess) -> None:
    answer = server.http.patch("/api/v1/runs")
    assert set(answer.headers["allow"].replace(" ", "").split(",")) == {"GET", "HEAD", "POST"}


def test_every_type_of_problem_has_a_page_and_a_line_in_the_docs(server: ServerProcess) -> None:
    from pathlib import Path

    docs = (Path(__file__).parents[2] / "docs/api.md").read_text()
    for kind in KINDS:
        assert server.http.get(f"/problems/{kind.name}").status_code == 200
        assert f"| `{kind.name}` | {kind.status} |" in docs
    assert server.http.get("/problems/nothing").status_code == 404


def test_a_body_of_another_kind_is_refused(server: ServerProcess) -> None:
    text = json.dumps(SUBMIT)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert server.api.post("/runs", content=text, headers={"Content-Type": kind}).status_code == 415


def test_the_character_nul_is_refused_wherever_it_stands(server: ServerProcess) -> None:
    assert server.api.put("/variables/A", content=b'{"value": "a\\u0000b"}').status_code == 422
    assert server.api.put("/variables/A", content=b'{"value": "a\\\\u0000b"}').status_code == 200
    assert server.api.get("/jobs/a%00b").status_code == 422
    assert server.api.get("/runs?cursor=a%00b").status_code == 422


def test_the_feed_of_a_project_tells_of_all_its_runs_and_resumes(make_server: Servers) -> None:
    server = make_server()
    first, second = server.submit(), server.submit()
    seen = read_some(server, {"Last-Event-ID": "0"}, 4)
    assert {data.get("run", data["id"]) for _, _, data in seen} == {first, second}
    numbers = [int(number) for number, _, _ in seen]
    assert numbers == sorted(set(numbers))
    rest = read_some(server, {"Last-Event-ID": seen[1][0]}, 2)
    assert rest == seen[2:]


def read_some(server: ServerProcess, headers: dict[str, str], count: int) -> list[tuple[str, str, dict]]:
    """The first events of the feed, which has no end."""
    found: list[tuple[str, str, dict]] = []
    fields: dict[str, str] = {}
    with server.api.stream("GET", "/events", headers=headers) as response:
        assert response.status_code == 200
        for line in response.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                found.append((fields["id"], fields["event"], json.loads(fields["data"])))
                fields = {}
            if len(found) == count:
                return found
    raise AssertionError(found)
