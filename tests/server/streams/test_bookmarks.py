"""Bookmarks of flows of stages: one job holds one at a time, and who has lost one changes nothing any more."""

from collections.abc import Callable, Iterator

import pytest
from server.streams.stage_job import StageJob, new_flow
from server.toolkit_job import Job
from server.vocabulary import ServerProcess, wait_for

from agent.server.streams.bookmark_watch import BookmarkWatch
from agent.wire.lease_watch import BLIND_SECONDS

Jobs = Callable[..., StageJob]


@pytest.fixture
def jobs(server: ServerProcess) -> Iterator[Jobs]:
    made: list[StageJob] = []

    def make(flow: str) -> StageJob:
        made.append(StageJob(server, flow))
        return made[-1]

    yield make
    for job in made:
        if job.agent.socket is not None:
            job.end()


def take(job: StageJob, name: str = "shard-1", seconds: float = 60) -> dict[str, object]:
    answer = job.ask("bookmarks/take", name=name, seconds=seconds)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_bookmark_is_held_by_one_job_and_its_value_outlives_that_job(jobs: Jobs) -> None:
    flow = new_flow()
    one, two = jobs(flow), jobs(flow)
    held = take(one)
    assert held == {"name": "shard-1", "value": None, "fence": 1}
    assert two.ask("bookmarks/take", name="shard-1", seconds=60).status_code == 409
    assert one.ask("bookmarks/put", name="shard-1", fence=1, value={"at": [7, None]}).status_code == 204
    assert two.bookmarks() == {"shard-1": True}
    one.end()
    assert two.bookmarks("shard") == {"shard-1": False}
    assert take(two) == {"name": "shard-1", "value": {"at": [7, None]}, "fence": 2}
    assert two.bookmarks("other") == {}


def test_what_comes_under_an_old_fence_changes_nothing(jobs: Jobs) -> None:
    flow = new_flow()
    one = jobs(flow)
    take(one)
    take(one)  # its answer was lost, say
    for path, more in (("keep", {"seconds": 60}), ("put", {"value": "old"}), ("free", {})):
        assert one.ask(f"bookmarks/{path}", name="shard-1", fence=1, **more).status_code == 409, path
    assert one.ask("bookmarks/keep", name="shard-1", fence=2, seconds=60).status_code == 204
    assert one.ask("bookmarks/free", name="shard-1", fence=2).status_code == 204
    assert one.ask("bookmarks/put", name="shard-1", fence=2, value="late").status_code == 409
    assert take(jobs(flow))["value"] is None


def test_a_job_that_lives_and_does_not_keep_its_bookmark_loses_it(jobs: Jobs) -> None:
    flow = new_flow()
    one, two = jobs(flow), jobs(flow)
    take(one, seconds=1)

    def is_taken() -> bool:
        return two.ask("bookmarks/take", name="shard-1", seconds=60).status_code == 200

    assert not is_taken()
    wait_for(is_taken)
    assert one.ask("bookmarks/keep", name="shard-1", fence=1, seconds=60).status_code == 409


def test_bookmarks_are_their_flows_own(jobs: Jobs) -> None:
    one, other = jobs(new_flow()), jobs(new_flow())
    take(one)
    assert take(other)["fence"] == 1
    assert other.bookmarks() == {"shard-1": True}


def test_a_bookmark_survives_the_server(make_server: Callable[..., ServerProcess]) -> None:
    server = make_server()
    job = StageJob(server, "Flow")
    take(job)
    assert job.ask("bookmarks/put", name="shard-1", fence=1, value=12).status_code == 204
    server.restart_after_kill()
    assert job.ask("bookmarks/keep", name="shard-1", fence=1, seconds=60).status_code == 204
    assert take(job) == {"name": "shard-1", "value": 12, "fence": 2}


def test_a_job_of_another_kind_and_a_person_have_no_bookmarks(server: ServerProcess) -> None:
    job = Job(server, "steps")
    try:
        for path in ("bookmarks/take", "bookmarks/keep", "bookmarks/put", "bookmarks/free"):
            assert job.post(f"/api/v1/stages/{path}", {"name": "a"}).status_code == 404
        assert server.api.get("/stages/bookmarks").status_code == 401
    finally:
        job.end()


def test_no_secret_of_the_job_is_a_bookmarks_name_or_value(jobs: Jobs) -> None:
    job = jobs(new_flow())
    for body in ({"name": job.token, "seconds": 60}, {"name": "a", "seconds": 60, job.token: 1}):
        assert "holds a secret" in job.ask("bookmarks/take", **body).text
    take(job)
    assert "holds a secret" in job.ask("bookmarks/put", name="shard-1", fence=1, value=[job.token]).text


def test_the_time_of_a_bookmark_is_measured_by_who_looks_and_not_while_nobody_could() -> None:
    watch = BookmarkWatch()
    assert not watch.look("a", 1, 10, 100.0)
    assert not watch.look("a", 1, 10, 109.0)
    assert not watch.look("a", 2, 10, 111.0)  # it was kept
    assert watch.look("a", 2, 10, 121.0)
    assert not watch.look("a", 2, 10, 121.0 + BLIND_SECONDS + 1)
    assert not watch.look("b", 1, 10, 500.0)
