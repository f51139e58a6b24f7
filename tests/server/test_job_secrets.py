"""No secret of a job is stored or logged as a name: every route that a job's token opens, by the table."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from server.routes import HttpRoute, http_routes
from server.toolkit_job import CACHES, Job
from server.vocabulary import ServerProcess

from agent.server.people.auth.access import SAFE_METHODS, Access
from agent.server.people.job_secrets import texts_of

SECRET = "s3cr3t-Of/the job+1"
PIN = "4711"
FLOW = (
    "on: workflow_dispatch\njobs:\n  train:\n    runs-on: linux\n    steps:\n"
    "      - run: echo ${{ secrets.KEY }} ${{ secrets.PIN }}\n"
)
ROUTES = [route for route in http_routes() if route.access.admits_jobs and route.verb not in SAFE_METHODS]
FORMS = [
    SECRET,
    f"model {SECRET} v1",
    quote(SECRET, safe=""),
    base64.b64encode(SECRET.encode()).decode(),
    base64.b64encode(b"xy" + SECRET.encode() + b"z").decode(),
    json.dumps(SECRET)[1:-1],
    f"{SECRET[:6]}\x1b[31m{SECRET[6:]}\x1b[m",
]


@pytest.fixture(scope="module")
def job(server: ServerProcess) -> Iterator[Job]:
    server.set_secret("KEY", SECRET)
    server.set_secret("PIN", PIN)
    server.set_secret("OTHER", "not this job's")
    running = Job(server, text=FLOW, secrets={"GIVEN": "given-to-this-run"})
    yield running
    running.agent.disconnect()  # it was silent for long: the server may have closed the connection


def is_stored(server: ServerProcess, text: str) -> bool:
    """Whether `text` is anywhere in the data folder or the log."""
    if server.database_url:
        tables = server.sql("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        return any(text in str(server.sql(f'SELECT * FROM "{table}"')) for (table,) in tables)
    files = [file for file in server.data.rglob("*") if file.is_file()]
    return any(text.encode() in file.read_bytes() for file in [server.log, *files])


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_no_route_takes_a_secret_of_the_job_as_a_name(
    server: ServerProcess, job: Job, route: HttpRoute
) -> None:
    secret = "given-to-this-run"
    texts = [name for name in route.parameters if f"{{{name}}}" in route.path]
    for name in texts:
        path = route.filled(**{name: secret})
        answer = server.http.request(route.verb, path, headers=job.headers, content=b"x")
        if route.access is Access.GIT:  # a repository may be called as a secret is
            assert answer.status_code >= 400, answer.text
        else:
            assert (answer.status_code, "holds a secret" in answer.text) == (422, True), answer.text
    for body in ({"name": secret}, {secret: 1}, {"deep": [[{"a": f"x{secret}"}]]}):
        answer = server.http.request(route.verb, route.filled(), headers=job.headers, json=body)
        assert answer.status_code >= 400, answer.text
        is_told = "holds a secret" in answer.text or answer.status_code in (404, 415)
        assert is_told or route.access is Access.GIT, answer.text
    assert not is_stored(server, secret)


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_in_any_form_is_no_name_of_an_artifact_a_cache_or_a_data_set(
    server: ServerProcess, job: Job, form: str
) -> None:
    answers = [
        job.call("CreateArtifact", name=form.replace("/", "/"), version=4),
        job.cache("CreateCacheEntry", key=form, version="a" * 64),
        job.post("/_apis/artifactcache/caches", {"key": form, "version": "a"}),
        job.post("/api/v1/datasets", {"name": "d", "description": form}),
    ]
    assert [answer.status_code for answer in answers] == [400, 400, 422, 422]
    assert all("holds a secret" in answer.text for answer in answers)
    assert not is_stored(server, SECRET)


def test_escapes_in_the_request_hide_nothing(server: ServerProcess, job: Job) -> None:
    escaped = "".join(f"\\u{ord(character):04x}" for character in SECRET)
    body = f'{{"key": "{escaped}", "version": "a"}}'.encode()
    answer = server.http.post(f"{CACHES}/CreateCacheEntry", content=body, headers=job.headers)
    assert "holds a secret" in answer.text


def test_the_jobs_own_token_is_a_secret_too(job: Job) -> None:
    assert "holds a secret" in job.call("CreateArtifact", name=job.token[:200] + job.token[200:]).text


def test_short_secrets_count_in_names_and_not_by_chance_in_digests_and_numbers(job: Job) -> None:
    assert "holds a secret" in job.call("CreateArtifact", name=f"pin {PIN}").text
    assert "holds a secret" in job.call("CreateArtifact", name=PIN).text
    job.create("weights")
    digest = f"sha256:{PIN}{'0' * 60}"
    answer = job.call("FinalizeArtifact", name="weights", size=f"1{PIN}", hash=digest)
    assert "have not arrived" in answer.text


def test_what_is_no_secret_of_this_job_is_a_name(job: Job) -> None:
    job.upload("not this job's", b"x")
    assert "not this job's" in job.names()


def test_texts_are_found_at_every_depth() -> None:
    found = list(texts_of(b'{"a": ["b", {"c": [[["d"]], 1, null, true]}], "e": ""}'))
    assert sorted(found) == ["", "a", "b", "c", "d", "e"]
    assert list(texts_of(b"[" * 100_000)) == list(texts_of(b"\xff")) == list(texts_of(b"")) == []
