"""Queues of deployed flows: a record is answered when it is kept, reaches one job at a time, and is gone when it is settled."""

import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from server.streams.stage_job import StageJob, add_door, new_flow
from server.vocabulary import ServerProcess, wait_for
from starlette.routing import Route
from support.lab import PATIENCE_SECONDS

from agent.server.routes import make_routes

KEY = "bWFzdGVyLWtleS1mb3ItdGVzdHMtMzItYnl0ZXMhISE="
Jobs = Callable[..., StageJob]
Servers = Callable[..., ServerProcess]


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made: list[StageJob] = []

    def make(server: ServerProcess, flow: str, *paths: str) -> StageJob:
        made.append(StageJob(server, flow, *paths))
        return made[-1]

    yield make
    for job in made:
        job.agent.disconnect()


def sign(secret: str, body: bytes) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}


def send(server: ServerProcess, url: str, body: object, **headers: str) -> str:
    answer = server.http.post(url, json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_a_record_is_kept_taken_once_and_gone_when_it_is_settled(server: ServerProcess, jobs: Jobs) -> None:
    flow = new_flow()
    url = add_door(server, flow, "/orders/once")
    sent = [send(server, url, {"n": n}) for n in range(5)]
    one, two = jobs(server, flow, "/orders/once"), jobs(server, flow, "/orders/once")
    first = one.take("/orders/once", most=2)
    assert [record["id"] for record in first] == sent[:2]
    assert [record["body"] for record in two.take("/orders/once")] == [{"n": 2}, {"n": 3}, {"n": 4}]
    assert one.take("/orders/once") == []
    one.settle("/orders/once", *sent[:2])
    one.settle("/orders/once", *sent)  # twice, and what is another's
    two.end()
    again = wait_for(lambda: one.take("/orders/once", wait=1))
    assert [record["id"] for record in again] == sent[2:]
    one.settle("/orders/once", *sent[2:])
    assert server.sql("SELECT records, size_bytes FROM queues WHERE flow = ?", flow) == [(0, 0)]


def test_a_job_that_did_not_hear_the_answer_gets_the_same_records_again(
    server: ServerProcess, jobs: Jobs
) -> None:
    flow = new_flow()
    url = add_door(server, flow, "/orders/again")
    send(server, url, 1)
    job = jobs(server, flow, "/orders/again")
    first = job.take("/orders/again", turn="t1")
    send(server, url, 2)
    assert job.take("/orders/again", turn="t1", again=True) == first
    assert [record["body"] for record in job.take("/orders/again", turn="t2", again=True)] == [2]


@pytest.mark.parametrize(
    ("body", "media", "form", "value"),
    [
        (b'{"a": [1.50, null]}', "application/json", "json", {"a": [1.5, None]}),
        (b'"text"', "", "json", "text"),
        ("Grüße".encode(), "text/plain", "text", "Grüße"),
        (b"\xff\xfe\x00", "application/octet-stream", "bytes", {"base64": "//4A"}),
        (b'{"base64": "AA=="}', "application/json", "json", {"base64": "AA=="}),
        (b"NaN", "text/plain", "text", "NaN"),
        (b"1e999", "text/plain", "text", "1e999"),
        (b'"\\ud800"', "text/plain", "text", '"\\ud800"'),
        (b"[" * 100_000, "text/plain", "text", "[" * 100_000),
    ],
)
def test_a_record_is_json_text_or_bytes(
    server: ServerProcess, jobs: Jobs, body: bytes, media: str, form: str, value: object
) -> None:
    flow = new_flow()
    url = add_door(server, flow, f"/forms/{flow}")
    answer = server.http.post(url, content=body, headers={"Content-Type": media} if media else {})
    assert answer.status_code == 202, answer.text
    (record,) = jobs(server, flow, f"/forms/{flow}").take(f"/forms/{flow}")
    assert (record["form"], record["body"]) == (form, value)
    assert record["headers"].get("content-type", "") == media


@pytest.mark.parametrize("body", [b"{", b"NaN", b"1e999", b'"\\ud800"', b"\xff", b"[" * 100_000])
def test_what_says_that_it_is_json_and_is_not_is_refused_at_the_door(
    server: ServerProcess, body: bytes
) -> None:
    flow = new_flow()
    url = add_door(server, flow, f"/bad/{flow}")
    for media in ("application/json", "application/cloudevents+json; charset=utf-8"):
        answer = server.http.post(url, content=body, headers={"Content-Type": media})
        assert (answer.status_code, "no JSON" in answer.text) == (400, True), answer.text
    assert server.sql("SELECT count(*) FROM queues WHERE flow = ?", flow) == [(0,)]


def test_a_request_without_a_body_is_what_its_query_says(server: ServerProcess, jobs: Jobs) -> None:
    flow = new_flow()
    url = add_door(server, flow, "/ping", methods=("GET", "POST"))
    assert server.http.get(url, params={"a": "1", "b": "x y"}).status_code == 202
    assert server.http.post(url).status_code == 202
    assert server.http.put(url, json=1).status_code == 404
    taken = jobs(server, flow, "/ping").take("/ping")
    assert [record["body"] for record in taken] == [{"a": "1", "b": "x y"}, {}]


def test_who_does_not_know_the_secret_and_who_knocks_at_no_door_hear_the_same(server: ServerProcess) -> None:
    flow = new_flow()
    server.set_secret("HOOK_KEY", "s3cret of the hook")
    url = add_door(server, flow, "/signed", secret="${secret.HOOK_KEY}")
    body = b'{"a": 1}'
    good = sign("s3cret of the hook", body)
    assert server.http.post(url, content=body, headers=good).status_code == 202
    tries = (
        {},
        {"X-Hub-Signature-256": "sha256=short"},
        sign("another", body),
        sign("s3cret of the hook", b"another body"),
        {"Authorization": "Bearer s3cret of the hook"},
    )
    for headers in tries:
        wrong = server.http.post(url, content=body, headers=headers)
        nowhere = server.http.post("/streams/default/nowhere", content=body, headers=headers)
        strange = server.http.post("/streams/no-such-project/signed", content=body, headers=headers)
        assert wrong.status_code == nowhere.status_code == strange.status_code == 404
        assert wrong.json() == nowhere.json() == strange.json()
    assert server.http.put(url, content=body, headers=good).status_code == 404
    assert server.sql("SELECT records FROM queues WHERE flow = ?", flow) == [(1,)]


def test_a_token_is_asked_for_and_a_secret_that_nobody_has_set_lets_nobody_in(server: ServerProcess) -> None:
    flow = new_flow()
    url = add_door(server, flow, "/token", token="plain-token")
    unset = add_door(server, flow, "/unset", token="${secrets.NOBODY_HAS_SET}")
    ask = server.http.post
    assert ask(url, json=1).status_code == 404
    assert ask(url, json=1, headers={"Authorization": "Bearer plain-tokem"}).status_code == 404
    assert ask(url, json=1, headers={"Authorization": "Bearer plain-token"}).status_code == 202
    for token in ("x", "${secrets.NOBODY_HAS_SET}", "None"):
        assert ask(unset, json=1, headers={"Authorization": f"Bearer {token}"}).status_code == 404


def test_a_new_secret_counts_and_the_old_one_no_more(server: ServerProcess) -> None:
    flow = new_flow()
    server.set_secret("TURNED", "the first secret")
    url = add_door(server, flow, "/turned", token="${secret.TURNED}")

    def try_token(token: str) -> int:
        return server.http.post(url, json=1, headers={"Authorization": f"Bearer {token}"}).status_code

    assert try_token("the first secret") == 202
    server.set_secret("TURNED", "the second secret")
    wait_for(lambda: try_token("the second secret") == 202)
    assert try_token("the first secret") == 404


def test_a_record_that_is_too_large_is_refused(make_server: Servers) -> None:
    server = make_server(limits={"stream_bytes": 1000})
    url = add_door(server, "Flow", "/large")
    assert server.http.post(url, content=b"x" * 1000).status_code == 202
    assert server.http.post(url, content=b"x" * 1001).status_code == 413
    assert server.http.post(url, content=iter([b"x" * 600] * 2)).status_code == 413


def test_full_queues_refuse_and_say_when_to_come_back(make_server: Servers, jobs: Jobs) -> None:
    server = make_server()
    url = add_door(server, "Flow", "/full")
    settings = {"settings": {"max_queue_bytes": 1500}}
    assert server.api.patch("/projects/default", json=settings).status_code == 200
    assert server.http.post(url, content=b"x" * 1000).status_code == 202
    refused = server.http.post(url, content=b"x" * 1000)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
    assert "full" in refused.json()["detail"]
    assert server.http.post(url, content=b"small").status_code == 202  # there is room for it
    job = jobs(server, "Flow", "/full")
    job.settle("/full", *[record["id"] for record in job.take("/full")])
    assert server.http.post(url, content=b"x" * 1000).status_code == 202


def test_what_is_sent_again_under_its_key_is_kept_once(server: ServerProcess, jobs: Jobs) -> None:
    flow = new_flow()
    url = add_door(server, flow, "/keyed")
    first = send(server, url, {"a": 1}, **{"Idempotency-Key": "k1"})
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda _: send(server, url, {"a": 1}, **{"Idempotency-Key": "k1"}), range(8)))
    assert set(again) == {first}
    assert send(server, url, {"a": 1}, **{"Idempotency-Key": "k2"}) != first
    other = server.http.post(url, json={"a": 2}, headers={"Idempotency-Key": "k1"})
    assert other.status_code == 422
    assert server.http.post(url, json=1, headers={"Idempotency-Key": "a b"}).status_code == 400
    job = jobs(server, flow, "/keyed")
    ids = [record["id"] for record in job.take("/keyed")]
    assert len(ids) == 2
    job.settle("/keyed", *ids)
    assert send(server, url, {"a": 1}, **{"Idempotency-Key": "k1"}) == first
    assert job.take("/keyed") == []


def test_who_waits_is_woken(server: ServerProcess, jobs: Jobs) -> None:
    flow = new_flow()
    url = add_door(server, flow, "/woken")
    job = jobs(server, flow, "/woken")
    assert job.take("/woken") == []
    threading.Timer(0.2, lambda: send(server, url, "late")).start()
    (record,) = job.take("/woken", wait=25)
    assert record["body"] == "late"


@pytest.mark.store("sqlite")
def test_a_record_that_comes_while_a_job_waits_is_written_down_once_as_taken(
    make_server: Servers, jobs: Jobs
) -> None:
    """And not as free, to be written again when it is taken: the disk is asked once."""
    server = make_server()
    server.sql("CREATE TABLE seen (id TEXT, holder TEXT)")
    server.sql(
        "CREATE TRIGGER seen AFTER INSERT ON queue_records BEGIN INSERT INTO seen VALUES (NEW.id, NEW.holder); END"
    )
    url = add_door(server, "Flow", "/waited")
    job = jobs(server, "Flow", "/waited")

    def take_while_sending() -> bool:
        """Whether the job was waiting when the record came."""
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(job.take, "/waited", wait=25, turn="turn")
            name = send(server, url, "it")
            (record,) = waiting.result()
        assert (record["id"], record["body"]) == (name, "it")
        assert job.take("/waited", turn="turn", again=True) == [record]  # the answer was lost
        job.settle("/waited", name)
        return server.sql("SELECT count(*) FROM seen WHERE id = ? AND holder IS NOT NULL", name) == [(1,)]

    wait_for(take_while_sending)
    assert server.sql("SELECT records, size_bytes FROM queues") == [(0, 0)]


def test_waiting_jobs_share_what_comes_in(server: ServerProcess, jobs: Jobs) -> None:
    flow = new_flow()
    url = add_door(server, flow, "/crowd")
    own = [jobs(server, flow, "/crowd") for _ in range(3)]
    with ThreadPoolExecutor(3) as takers, ThreadPoolExecutor(8) as senders:
        sent = senders.map(lambda n: send(server, url, n), range(200))

        def take_some(job: StageJob) -> list[str]:
            found: list[str] = []
            while records := job.take("/crowd", wait=3, most=7):
                job.settle("/crowd", *(record["id"] for record in records))
                found += [record["id"] for record in records]
            return found

        taken = [name for names in takers.map(take_some, own) for name in names]
        assert sorted(taken) == sorted(sent)
    assert server.sql("SELECT records, size_bytes FROM queues WHERE flow = ?", flow) == [(0, 0)]


def test_a_job_takes_only_where_its_own_flow_receives(server: ServerProcess, jobs: Jobs) -> None:
    flow = new_flow()
    job = jobs(server, flow, "/mine")
    add_door(server, new_flow(), "/theirs")
    for path in ("/theirs", "/nowhere", "mine"):
        assert job.ask("queue/take", path=path).status_code == 404
        assert job.ask("queue/settle", path=path, ids=["x"]).status_code == 404
    assert job.take("/mine") == []


def test_many_senders_share_commits_and_each_record_is_there_once(server: ServerProcess, jobs: Jobs) -> None:
    flow = new_flow()
    url = add_door(server, flow, "/many")
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda n: send(server, url, n), range(300)))
    job = jobs(server, flow, "/many")
    taken = []
    while records := job.take("/many", most=100):
        taken += records
        job.settle("/many", *[record["id"] for record in records])
    assert sorted(record["body"] for record in taken) == list(range(300))
    assert sorted(record["id"] for record in taken) == sorted(ids)


def test_what_was_answered_survives_kill_9_and_so_does_what_was_taken(
    make_server: Servers, jobs: Jobs
) -> None:
    server = make_server()
    url = add_door(server, "Flow", "/killed")
    kept: list[str] = []

    def send_on() -> None:
        with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as client:
            while True:
                try:
                    answer = client.post(url, json=len(kept))
                except httpx.HTTPError:
                    return
                if answer.status_code == 202:
                    kept.append(answer.json()["id"])

    senders = [threading.Thread(target=send_on) for _ in range(4)]
    for sender in senders:
        sender.start()
    wait_for(lambda: len(kept) >= 40)
    server.process.kill()
    for sender in senders:
        sender.join()
    server.restart_after_kill()
    job = jobs(server, "Flow", "/killed")
    first = job.take("/killed", most=10)
    server.restart_after_kill()
    job.settle("/killed", *[record["id"] for record in first])
    ids = [record["id"] for record in first]
    while records := job.take("/killed", most=1000):
        ids += [record["id"] for record in records]
    assert len(ids) == len(set(ids))
    assert set(kept) <= set(ids)


@pytest.mark.store("postgresql")
def test_two_servers_share_a_queue(make_server: Servers, jobs: Jobs) -> None:
    one = make_server(master_key=KEY)
    two = ServerProcess(one.data.with_name("other"), database_url=one.database_url, master_key=KEY)
    try:
        url = add_door(one, "Flow", "/shared")
        job = jobs(one, "Flow", "/shared")
        job.server = two
        assert job.take("/shared") == []
        threading.Timer(0.3, lambda: send(one, url, "over there")).start()
        (record,) = job.take("/shared", wait=25)
        assert record["body"] == "over there"
        with ThreadPoolExecutor(8) as pool:
            keyed = {"Idempotency-Key": "k"}
            ids = set(pool.map(lambda n: send((one, two)[n % 2], url, "same", **keyed), range(8)))
        assert len(ids) == 1
        job.server = one
        assert [record["id"] for record in job.take("/shared")] == list(ids)
    finally:
        two.kill()


def test_the_body_of_a_stranger_is_not_read_in_vain(server: ServerProcess) -> None:
    flow = new_flow()
    url = add_door(server, flow, "/unread", secret="a secret of the hook")
    sent: list[int] = []

    def body() -> Iterator[bytes]:
        for n in range(1000):
            sent.append(n)
            yield b"x" * 100_000

    answer = server.http.post(url, content=body())
    assert (answer.status_code, answer.json()["status"]) == (404, 404)


def test_paths_that_are_asked_for_at_each_record_are_compared_before_all_others() -> None:
    """Each of some hundred and seventy costs microseconds."""
    paths = [route.path for route in make_routes() if isinstance(route, Route)]
    records = [path for path in paths if path.startswith(("/streams/", "/api/v1/stages/"))]
    assert paths[: len(records)] == records
