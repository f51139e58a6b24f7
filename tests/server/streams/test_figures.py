"""Figures and kept records: what a job tells of its stages and records is seen live, counted once, and found again."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from server.streams.stage_job import StageJob, add_door, new_flow
from server.toolkit_job import Job
from server.vocabulary import ServerProcess, read_events
from support.commands import clients_closed

from agent.cli.main import run_command

Servers = Callable[..., ServerProcess]
DAY = 86_400.0


@pytest.fixture
def job(server: ServerProcess) -> Iterator[StageJob]:
    made = StageJob(server, new_flow(), "/x")
    yield made
    if made.agent.socket is not None:
        made.end()


def stage(name: str, done: int, **more: Any) -> dict[str, Any]:
    quick = dict.fromkeys(("0.01", "0.1", "0.5", "1", "10", "60", "+Inf"), done)
    counts = {"accepted": done, "buffered": 1, "started": done, "filtered": 0, "failed": 2, "retried": 2}
    return {"name": name, "state": "running", "done": done, "dead": 0, **counts} | {
        "seconds": quick,
        "seconds_sum": done / 8,
        **more,
    }


def tell(job: StageJob, done: int) -> None:
    body = {"at": 1.0, "stages": [stage("in 0", done), stage("end", done)]}
    assert job.ask("figures", **body).status_code == 204


def metric(server: ServerProcess, name: str, flow: str, stage: str) -> float:
    for line in server.api.get(f"{server.url}/metrics").text.splitlines():
        if line.startswith(f"{name}{{") and f'flow="{flow}"' in line and f'stage="{stage}"' in line:
            return float(line.rpartition(" ")[2])
    return 0.0


def test_figures_come_live_and_the_last_ones_stay(server: ServerProcess, job: StageJob) -> None:
    tell(job, 5)
    events = read_events(server.api, f"/runs/{job.run}/events")
    shown = next(data for _, kind, data in events if kind == "stages")
    assert (shown["job"], shown["key"]) == (job.assign.job, "train")
    assert [(one["name"], one["done"]) for one in shown["stages"]] == [("in 0", 5), ("end", 5)]
    tell(job, 9)
    assert next(data for _, kind, data in events if kind == "stages")["stages"][1]["done"] == 9
    job.end()
    kinds = [kind for _, kind, _ in events]
    assert kinds[-1] == "end"
    (last,) = server.api.get(f"/runs/{job.run}/stages").json()["jobs"]
    assert last["stages"][0]["done"] == 9


def test_the_runs_page_and_run_show_have_a_table_of_its_stages(
    server: ServerProcess, job: StageJob, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(job, 1234)
    page = server.api.get(f"{server.url}/status/runs/{job.run}", headers={"Accept": "text/html"}).text
    assert "Stages of train" in page
    assert 'data-every="2"' in page
    assert page.count(">1234</td>") == 2
    with clients_closed():
        assert run_command(["run", "show", str(job.run), "--url", server.url, "--token", server.token]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in shown if line.startswith("●")] == [
        ["●", "in", "0", "running"],
        ["●", "end", "running", "1"],
    ]


def test_what_jobs_have_done_is_counted_once_however_often_they_say_it(
    server: ServerProcess, job: StageJob
) -> None:
    for done in (5, 5, 8):
        tell(job, done)
    other = StageJob(server, job.flow, "/x")
    tell(other, 4)
    assert metric(server, "flow_agent_stage_records_total", job.flow, "end") == 12
    assert metric(server, "flow_agent_trigger_records_total", job.flow, "in 0") == 12
    assert metric(server, "flow_agent_trigger_records_total", job.flow, "end") == 0
    assert metric(server, "flow_agent_stage_retries_total", job.flow, "end") == 4
    assert metric(server, "flow_agent_stage_seconds_count", job.flow, "end") == 12
    assert metric(server, "flow_agent_stage_seconds_sum", job.flow, "end") == pytest.approx(1.5)
    other.end()


def test_a_stage_that_the_job_does_not_have_is_refused(job: StageJob) -> None:
    answer = job.ask("figures", at=1.0, stages=[stage("another", 1)])
    assert (answer.status_code, "no stage 'another'" in answer.text) == (400, True)
    assert job.ask("figures", at=1.0, stages=[stage("end", -1)]).status_code == 400


def record(key: str, began: float, **more: Any) -> dict[str, Any]:
    passage = {"name": "end", "state": "done", "began": began, "seconds": 0.1, "attempts": 1, "error": ""}
    return {"key": key, "trigger": "in 0", "lane": "", "at": 7, "state": "done", "began": began} | {
        "seconds": 0.1,
        "stages": [passage],
        "record": {"n": began},
        "error": "",
        **more,
    }


def keep(job: StageJob, *records: Any, is_dead: bool = False) -> httpx.Response:
    lines = "".join(json.dumps(one) + "\n" for one in records)
    return job.server.http.post(
        f"/api/v1/stages/records?is_dead={'true' if is_dead else 'false'}",
        content=lines,
        headers={**job.headers, "Content-Type": "application/x-ndjson"},
    )


def find(job: StageJob, **query: Any) -> list[str]:
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = job.server.api.get(f"/runs/{job.run}/records", params={**query, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        found += [one["key"] for one in answer.json()["records"]]
        cursor = answer.json()["next"]
    return found


def test_records_are_found_by_key_stage_state_and_time(job: StageJob) -> None:
    failed = record("in 0/3", 30.0, state="dead", error="it was no good")
    assert keep(job, record("in 0/1", 10.0), record("in 0/2", 20.0), failed).status_code == 204
    assert keep(job, record("in 0/dead-1", 30.0, state="dead"), is_dead=True).status_code == 204
    everything = ["in 0/dead-1", "in 0/3", "in 0/2", "in 0/1"]
    assert find(job) == find(job, limit=1) == find(job, limit=3) == everything
    assert find(job, key="in 0/2") == ["in 0/2"]
    assert find(job, state="dead") == everything[:2]
    assert find(job, dead=True) == everything[:1]
    assert find(job, stage="end") == find(job, stage="in 0") == everything
    assert find(job, stage="other") == []
    assert find(job, since=15.0, until=25.0) == ["in 0/2"]
    shown = job.server.api.get(f"/runs/{job.run}/records?key=in 0/3").json()["records"]
    assert shown == [failed]


def test_the_last_records_stay_and_those_that_failed_and_dead_letters_all(
    server: ServerProcess, job: StageJob
) -> None:
    assert keep(job, record("bad", 1.0, state="dead")).status_code == 204
    assert keep(job, record("letter", 1.0, state="dead"), is_dead=True).status_code == 204
    for part in range(6):
        lines = [record(f"{part}/{number}", 10.0 * part + number / 100) for number in range(300)]
        assert keep(job, *lines).status_code == 204
    found = find(job, limit=200)
    assert len(found) == 1200 + 2
    assert set(found) >= {"bad", "letter", "5/299", "2/0"}
    assert not any(key.startswith("0/") for key in found)
    blobs = server.sql("SELECT count(*) FROM record_segments WHERE run = ?", job.run)
    assert blobs == [(6,)]


def test_what_is_no_record_or_holds_a_secret_is_refused(server: ServerProcess, job: StageJob) -> None:
    assert keep(job, {"key": "x"}).status_code == 400
    answer = keep(job, record("a", 1.0, record={"deep": [job.token]}))
    assert (answer.status_code, "holds a secret" in answer.text) == (422, True)
    plain = Job(server, "plain")
    for path in ("figures", "records"):
        assert plain.post(f"/api/v1/stages/{path}", {}).status_code == 404
    plain.end()


def test_dead_letters_for_which_there_is_no_room_are_the_jobs_to_bring_again(make_server: Servers) -> None:
    server = make_server()
    job = StageJob(server, "Flow")
    small = {"settings": {"max_dead_letter_bytes": 1000}}
    assert server.api.patch("/projects/default", json=small).status_code == 200
    letter = record("a", 1.0, state="dead", record="x" * 500)
    assert keep(job, letter, is_dead=True).status_code == 204
    full = keep(job, letter, is_dead=True)
    assert (full.status_code, "retry-after" in full.headers) == (429, True)
    assert keep(job, letter).status_code == 204  # a sample is none


def test_retention_lets_go_what_is_old_and_what_flows_have_left(make_server: Servers) -> None:
    server = make_server()
    url = add_door(server, "Flow", "/old")
    assert server.http.post(url, json=1).status_code == 202
    job = StageJob(server, "Flow", "/old")
    tell_old = {"at": 1.0, "stages": [stage("end", 1)]}
    assert job.ask("figures", **tell_old).status_code == 204
    assert job.ask("bookmarks/take", name="m", seconds=60).status_code == 200
    assert keep(job, record("a", 1.0)).status_code == 204
    job.end()
    for table, column in (
        ("queues", "used_at"),
        ("bookmarks", "used_at"),
        ("stage_totals", "used_at"),
        ("record_segments", "kept_at"),
    ):
        server.sql(f"UPDATE {table} SET {column} = {column} - ?", 31 * DAY)
    assert kinds(server) == ["records"]  # the flow is deployed
    server.sql("DELETE FROM deployment_paths")
    server.sql("DELETE FROM deployments")
    assert kinds(server) == ["bookmarks", "queue", "totals"]
    for table in ("queues", "queue_records", "bookmarks", "stage_totals", "record_segments"):
        assert server.sql(f"SELECT count(*) FROM {table}") == [(0,)], table
    assert not list((server.data / "blobs" / "records").rglob("segment_*"))


def kinds(server: ServerProcess) -> list[str]:
    answer = server.api.post("/retention")
    assert answer.status_code == 200, answer.text
    return sorted(item["kind"] for item in answer.json()["items"])
