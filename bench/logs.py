"""Logs: what the last lines of a million cost, for who comes back to the stream and for who asks for a part."""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agent.cli.client import Client
from agent.cli.demo.stage import DemoWorld

LINES = 1_000_000
TRIES = 5
GOAL = 40.0  # times a request that reads nothing
PATIENCE_SECONDS = 300.0
FLOW = f"""\
on: workflow_dispatch
jobs:
  train:
    runs-on: self-hosted
    steps:
      - run: |
          seq -f 'line %.0f of a log that goes on and on' 1 {LINES}
          sleep 600
"""


def main() -> int:
    """Print the figures; exit 1 when the goal is missed."""
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stage = DemoWorld(Path(folder))
        stage.keeps_folder = True
        try:
            stage.start_server()
            stage.register_agent()
            stage.start_agent()
            return 0 if measure(stage) else 1
        finally:
            stage.strike()


def measure(stage: DemoWorld) -> bool:
    """A viewer that comes back, and parts of the log of a job that runs."""
    client = stage.client()
    run = client.post("/api/v1/runs", {"flow": {"file": "flow.yml", "text": FLOW}})["run"]
    wait_until(lambda: bool(client.get(f"/api/v1/runs/{run}")["jobs"][0]["started"]))
    job = f"/api/v1/jobs/{client.get(f'/api/v1/runs/{run}')['jobs'][0]['id']}"
    wait_until(lambda: f"line {LINES} of" in client.text(f"{job}/log?tail=1"))
    last = last_event(client, job)
    floor = best(lambda: client.get("/api/v1/user"))
    results = [
        tell("the stream, from the last event", best(lambda: first_byte(client, job, last)), floor),
        tell("tail=10", best(lambda: client.text(f"{job}/log?tail=10")), floor),
        tell(
            "from_line, ten before the end",
            best(lambda: client.text(f"{job}/log?from_line={LINES - 10}")),
            floor,
        ),
        tell("the job's page", best(lambda: page(client, job)), floor),
    ]
    client.post(f"/api/v1/runs/{run}/cancel", {"reason": "measured"})
    return all(results)


def last_event(client: Client, job: str) -> str:
    """The id of the newest event but a few, as a viewer has it whose connection broke."""
    last = ""
    for event in client.events(f"{job}/events"):
        if event.data.get("text", "").startswith(f"line {LINES - 5000} "):
            break
        last = event.id or last
    return last


def first_byte(client: Client, job: str, last: str) -> None:
    """Until the first event comes."""
    next(client.events(f"{job}/events", last))


def page(client: Client, job: str) -> None:
    """The page of the job."""
    client.text(f"/status/jobs/{job.rpartition('/')[2]}")


def best(work: Callable[[], object]) -> float:
    """The shortest of some tries, in seconds; noise only adds."""
    seconds = []
    for _ in range(TRIES):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def tell(what: str, seconds: float, floor: float) -> bool:
    """Print a figure; whether the goal is met."""
    is_met = seconds / floor < GOAL
    word = "met" if is_met else "MISSED"
    print(
        f"{what:34} {seconds * 1000:8.1f} ms   {seconds / floor:7.1f} × a bare request   goal {GOAL:.0f} ×: {word}"
    )
    return is_met


def wait_until(claim: Callable[[], bool]) -> None:
    """Ask until it holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
