"""A run's way through the server: submitted, leased, shipped, seen live, ended."""

import threading
from collections.abc import Callable

import pytest
from server.vocabulary import (
    ONE_JOB,
    TWO_JOBS,
    ServerProcess,
    TestAgent,
    closing,
    frames,
    journal,
    log,
    read_events,
    step,
    wait_for,
)

from agent.journal.format import Annotation, Summary
from agent.spec.outcome import Conclusion, FailureKind
from agent.wire import messages as m

Agents = Callable[..., TestAgent]
Servers = Callable[..., ServerProcess]


@pytest.fixture
def own(make_server: Servers) -> ServerProcess:
    return make_server()


def test_a_run_of_two_jobs_succeeds_and_the_second_sees_the_firsts_outputs(
    own: ServerProcess, make_agent: Agents
) -> None:
    own.set_secret("DATA_KEY", "hunter2")
    run = own.submit(TWO_JOBS)
    agent = make_agent(own).connect()
    first = agent.take()
    assert first.spec.key == "train"
    assert agent.open(first, "DATA_KEY") == "hunter2"
    assert own.job(run, "evaluate")["waiting"] == "waits for needs: train"
    agent.finish(first, journal(first, step(), log("hello\n"), outputs={"model": "m.bin"}))
    second = agent.take()
    assert second.spec.contexts["needs"] == {"train": {"result": "success", "outputs": {"model": "m.bin"}}}
    agent.finish(second, journal(second))
    shown = own.run(run)
    assert (shown["status"], shown["conclusion"]) == ("completed", "success")
    assert [job["agent"] for job in shown["jobs"]] == ["box-1", "box-1"]
    assert shown["jobs"][0]["outputs"] == {"model": "m.bin"}


def test_a_failed_job_fails_the_run_with_its_kind_and_skips_what_needs_it(
    own: ServerProcess, make_agent: Agents
) -> None:
    own.set_secret("DATA_KEY", "hunter2")
    run = own.submit(TWO_JOBS)
    agent = make_agent(own).connect()
    first = agent.take()
    failed = closing(Conclusion.FAILURE, failure_kind=FailureKind.OOM, message="killed for memory")
    agent.finish(first, journal(first, closes=False) + frames(failed))
    assert own.run(run)["conclusion"] == "failure"
    job = own.job(run, "train")
    assert (job["failure_kind"], job["message"]) == ("oom", "killed for memory")
    assert own.job(run, "evaluate")["conclusion"] == "skipped"


def test_steps_annotations_and_summaries_of_a_journal_are_shown(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    done = step("completed", outcome=Conclusion.SUCCESS, conclusion=Conclusion.SUCCESS, seconds=1.5)
    note = Annotation(0, "warning", "look here", file="a.py", line=3)
    agent.finish(assign, journal(assign, step(), note, Summary(0, "# Good\n"), done))
    job = own.api.get(f"/jobs/{assign.job}").json()
    assert [(entry["id"], entry["state"], entry["seconds"]) for entry in job["steps"]] == [
        ("fit", "completed", 1.5)
    ]
    assert job["annotations"][0]["message"] == "look here"
    assert job["machine"] == {"kernel": "6.8.0"}
    assert own.run(run)["summaries"] == [{"job": "train", "id": assign.job, "text": "# Good\n"}]


def test_output_is_seen_while_the_job_runs_and_ends_with_end(own: ServerProcess, make_agent: Agents) -> None:
    own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    agent.ship(assign, journal(assign, step(), log("first\nsec"), closes=False))
    stream = read_events(own.api, f"/jobs/{assign.job}/events")
    seen = [next(stream) for _ in range(3)]
    assert [data["kind"] for _, _, data in seen] == ["machine", "step", "log"]
    assert seen[2][2]["text"] == "first"
    agent.finish(assign, frames(log("ond\n"), closing()))
    rest = list(stream)
    assert [data.get("text") for _, kind, data in rest if kind == "log"] == ["second"]
    assert [kind for _, kind, _ in rest[-2:]] == ["job", "end"]
    assert own.api.get(f"/jobs/{assign.job}/log").text == "first\nsecond\n"


def test_a_viewer_that_comes_back_with_the_last_id_misses_and_repeats_nothing(
    own: ServerProcess, make_agent: Agents
) -> None:
    own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    agent.finish(assign, journal(assign, step(), log("a\nb\nhalf"), log(" line\nc\n"), log("rest")))
    path = f"/jobs/{assign.job}/events"
    whole = [data for _, kind, data in own.events(path) if kind != "end"]
    cuts = [index for index, (event_id, _, _) in enumerate(own.events(path)) if event_id]
    for cut in cuts:
        last_id = own.events(path)[cut][0]
        rest = [data for _, kind, data in own.events(path, last_id) if kind != "end"]
        assert whole[: cut + 1] + rest == whole


def test_run_events_tell_each_change_once_and_resume_behind_an_id(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    agent.finish(assign := agent.take(), journal(assign))
    told = own.events(f"/runs/{run}/events")
    jobs = [data["status"] for _, kind, data in told if kind == "job" and not data["waiting"]]
    assert jobs == ["queued", "assigned", "running", "completed"]
    assert [data["status"] for _, kind, data in told if kind == "run"] == ["queued", "running", "completed"]
    middle = told[2][0]
    assert own.events(f"/runs/{run}/events", middle) == told[3:]


def test_cancelling_reaches_the_agent_and_the_job_ends_as_it_says(
    own: ServerProcess, make_agent: Agents
) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.take()
    assert own.api.post(f"/runs/{run}/cancel", json={"reason": "enough"}).status_code == 200
    assert agent.hear(m.Cancel, job=assign.job).reason == "enough"
    ended = closing(Conclusion.CANCELLED, failure_kind=FailureKind.CANCELLED)
    agent.finish(assign, journal(assign, closes=False) + frames(ended))
    assert own.run(run)["conclusion"] == "cancelled"


def test_cancelling_a_run_that_nobody_took_ends_it_at_once(own: ServerProcess) -> None:
    run = own.submit()
    own.api.post(f"/runs/{run}/cancel")
    assert own.run(run)["conclusion"] == "cancelled"
    assert own.job(run)["message"] == "cancelled by a person"


def test_a_queued_job_says_in_words_why_it_waits(own: ServerProcess, make_agent: Agents) -> None:
    run = own.submit(ONE_JOB.replace("linux", "[gpu]"))
    own.wait_for_job(run, waiting="no agent is connected")
    agent = make_agent(own).connect()
    own.wait_for_job(
        run,
        waiting="no agent has the label [gpu]; 1 agent is connected (box-1: self-hosted, linux, x64)",
    )
    first = own.submit()
    agent.take()
    second = own.submit()
    own.wait_for_job(second, waiting="the only matching agent is busy")
    assert own.job(first)["status"] == "running"


def test_a_draining_agent_gets_no_job_until_it_wants_some_again(
    own: ServerProcess, make_agent: Agents
) -> None:
    agent = make_agent(own).connect()
    agent.protocol.drain(is_draining=True)
    agent.flush()
    wait_for(lambda: own.api.get(f"/agents/{agent.id}").json()["status"] == "draining")
    run = own.submit()
    own.wait_for_job(run, waiting="1 matching agent is draining")
    agent.protocol.drain(is_draining=False)
    agent.flush()
    agent.take()


def test_a_refused_job_goes_back_and_the_reason_is_shown(own: ServerProcess, make_agent: Agents) -> None:
    run = own.submit()
    agent = make_agent(own).connect()
    assign = agent.hear(m.Assign)
    agent.protocol.refuse(assign.job, assign.lease, "the disk is full")
    agent.flush()
    own.wait_for_job(run, status="queued", waiting="box-1 refused: the disk is full")
    other = make_agent(own, name="box-2").connect()
    assert other.take().lease == assign.lease + 1


def test_an_ephemeral_agent_gets_one_job_and_no_second(own: ServerProcess, make_agent: Agents) -> None:
    agent = make_agent(own, ephemeral=True).connect(max_jobs=4)
    first, second = own.submit(), own.submit()
    agent.finish(assign := agent.take(), journal(assign))
    assert own.run(first)["conclusion"] == "success"
    own.wait_for_job(second, waiting="no agent is connected")


def test_jobs_go_to_the_agent_with_the_most_free_slots(own: ServerProcess, make_agent: Agents) -> None:
    one, two = (
        make_agent(own, name="one").connect(max_jobs=2),
        make_agent(own, name="two").connect(max_jobs=2),
    )
    own.submit()
    one.take()
    own.submit()
    two.take()


def test_many_streams_and_a_slow_agent_hold_up_nobody(own: ServerProcess, make_agent: Agents) -> None:
    slow = make_agent(own, name="slow").connect()
    run = own.submit()
    assign = slow.take()
    threads = [threading.Thread(target=own.events, args=(f"/jobs/{assign.job}/events",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    quick = make_agent(own, name="quick").connect()
    own.submit()
    quick.finish(other := quick.take(), journal(other))
    slow.finish(assign, journal(assign))
    for thread in threads:
        thread.join()
    assert own.run(run)["conclusion"] == "success"


def test_a_lock_goes_to_each_job_of_the_run(own: ServerProcess, make_agent: Agents) -> None:
    commit = "a" * 40
    lock = (
        f'version = 1\n[actions."acme/tools@v1"]\ncommit = "{commit}"\nurl = "https://h.example/acme/tools"\n'
    )
    agent = make_agent(own).connect()
    for given, pins in ((lock, {"acme/tools@v1": commit}), ("version = 1\n", {}), (None, None)):
        run = own.submit(lock=given)
        lease = agent.take()
        assert lease.spec.pins == pins
        agent.finish(lease, journal(lease))
        own.wait_for_job(run, status="completed")


def test_a_lock_that_is_not_valid_starts_nothing(own: ServerProcess) -> None:
    body = {"flow": {"file": "flow.yml", "text": ONE_JOB}, "lock": "<<<<<<< HEAD"}
    answer = own.api.post("/runs", json=body)
    assert answer.status_code == 422
    assert "the lock file is not valid" in answer.json()["detail"]
    assert own.api.get("/runs").json()["runs"] == []
