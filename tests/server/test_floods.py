"""One agent or one project that floods slows no other, and is stopped where it has a bound."""

import threading
from typing import Any

from server.vocabulary import ONE_JOB, ServerProcess, TestAgent, frames, journal, log

from agent.journal.format import Annotation, Opened
from agent.journal.magic import MAGIC

FLOODED = ONE_JOB.replace("runs-on: linux", "runs-on: [linux, flood]")
CALM = ONE_JOB.replace("runs-on: linux", "runs-on: [linux, calm]")


def flood(agent: TestAgent, assign: Any, stop: threading.Event) -> None:
    """Ship annotations and output as fast as they are acknowledged, until told to stop."""
    note = Annotation(0, "warning", "x" * 500)
    agent.ship(assign, MAGIC + frames(Opened(assign.job, assign.lease, 1_800_000_000_000)))
    piece = frames(*[note] * 50, log("y" * 50_000))
    while not stop.is_set():
        agent.ship(assign, piece)


def test_a_flooding_agent_does_not_stop_the_others(server: ServerProcess, make_agent: Any) -> None:
    flooder = make_agent(server, name="flooder", labels=["flood"]).connect()
    calm = make_agent(server, name="calm", labels=["calm"]).connect()
    server.submit(FLOODED)
    assign, stop = flooder.take(), threading.Event()
    flooding = threading.Thread(target=flood, args=(flooder, assign, stop))
    flooding.start()
    try:
        for _ in range(5):
            run = server.submit(CALM)
            job = calm.take()
            calm.finish(job, journal(job))
            server.wait_for_job(run, status="completed")
            assert flooding.is_alive()
    finally:
        stop.set()
        flooding.join()


def test_a_projects_queue_has_its_bound(server: ServerProcess) -> None:
    name = "small-queue"
    made = server.api.post("/projects", json={"name": name, "settings": {"max_queued_jobs": 2}})
    assert made.status_code == 201, made.text
    body = {"flow": {"file": "flow.yml", "text": ONE_JOB.replace("linux", "nobody-has-this")}}
    answers = [server.api.post(f"/runs?project={name}", json=body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert answers[2].json()["title"]
    assert "max_queued_jobs" in answers[2].text
    assert server.api.post("/runs", json=body).status_code == 201, "other projects go on"
