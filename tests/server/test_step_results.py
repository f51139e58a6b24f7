"""Results of steps at the server: for jobs of the project, in the scopes of their branches, and not at all for strangers."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from server.toolkit_job import Job
from server.vocabulary import ServerProcess

MAIN, TOPIC = "refs/heads/main", "refs/heads/topic"
KEY = "a" * 64
RESULT = {"outputs": {"sum": "5", "boxes": [1, 2]}, "step": "Add"}


@pytest.fixture
def job(server: ServerProcess, request: pytest.FixtureRequest) -> Iterator[Job]:
    made = Job(server, name=f"results-{request.node.originalname.replace('_', '-')}"[:60].rstrip("-"))
    yield made
    made.end()


def call(job: Job, method: str = "GET", key: str = KEY, body: Any = None) -> httpx.Response:
    path = f"/api/v1/step-results/{key}"
    return job.server.http.request(method, path, json=body, headers=job.headers)


def test_what_a_job_keeps_is_found_and_the_first_stays(job: Job) -> None:
    assert call(job, key="b" * 64).status_code == 404
    assert call(job, "PUT", body=RESULT).status_code == 204
    assert call(job, "PUT", body={"outputs": {"sum": "6"}}).status_code == 204
    assert call(job).json() == {**RESULT, "run": job.run}


def test_what_is_no_key_no_result_or_too_large_is_refused(job: Job) -> None:
    assert call(job, key="../etc").status_code in (400, 404)
    assert call(job, key="A" * 64).status_code == 400
    assert call(job, "PUT", body={"outputs": 7}).status_code == 400
    assert call(job, "PUT", key="c" * 64, body={"outputs": {"x": "y" * (300 << 10)}}).status_code == 413


def test_results_are_for_jobs_and_a_person_asks_in_vain(server: ServerProcess, job: Job) -> None:
    assert server.api.get(f"/step-results/{KEY}").status_code in (401, 403)
    assert server.http.get(f"/api/v1/step-results/{KEY}").status_code == 401


def test_a_branch_sees_its_own_and_no_others(server: ServerProcess, job: Job) -> None:
    server.put_on(job.run, TOPIC)
    assert call(job, "PUT", key="d" * 64, body=RESULT).status_code == 204
    assert call(job, key="d" * 64).status_code == 200
    server.sql("UPDATE run_branches SET ref = ?, scope = ? WHERE run = ?", MAIN, MAIN, job.run)
    assert call(job, key="d" * 64).status_code == 404


def test_a_strangers_code_neither_finds_nor_keeps(server: ServerProcess, job: Job) -> None:
    assert call(job, "PUT", key="e" * 64, body=RESULT).status_code == 204
    server.sql(
        'INSERT INTO origins (run, start, flow, "commit", is_trusted, depth) VALUES (?, ?, ?, ?, ?, ?)',
        *(job.run, f"fork/{job.run}", "train.yml", "", False, 0),
    )
    for answer in (call(job, key="e" * 64), call(job, "PUT", key="f" * 64, body=RESULT)):
        assert (answer.status_code, "code from outside" in answer.json()["detail"]) == (403, True)
