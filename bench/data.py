"""What a job is brought, against `cp`: the bring step of a job on the machine that kept it, at three sizes.

`bench/data.py [MIB...]`; the goal is for the largest.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from measure import Figure, print_figures

from agent.cli.demo.stage import DemoWorld

SIZES_MIB = (1, 128, 2048)
FILES = 8
ROUNDS = 3
GOAL = 1.3
PATIENCE_SECONDS = 1200.0
FLOW = """\
name: data
on: workflow_dispatch
jobs:
  make:
    runs-on: self-hosted
    keeps: [data]
    steps:
      - run: mkdir data; for n in $(seq {files}); do head -c {part} /dev/urandom > data/$n; done
{users}"""
USER = """\
  use{number}:
    needs: [{needs}]
    runs-on: self-hosted
    brings: [{{job: make}}]
    steps:
      - id: copy
        run: |
          echo "began=$EPOCHREALTIME" >> "$GITHUB_OUTPUT"
          cp -r data copy
          echo "ended=$EPOCHREALTIME" >> "$GITHUB_OUTPUT"
"""


def main() -> int:
    """Print the ratios; exit 1 when the goal is missed."""
    sizes = [int(word) for word in sys.argv[1:]] or list(SIZES_MIB)
    figures = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stage = DemoWorld(Path(folder))
        stage.keeps_folder = True
        try:
            stage.start_server()
            stage.register_agent()
            stage.start_agent()
            for size in sizes:
                brought, copied = measure(stage, size)
                goal = GOAL if size == max(sizes) else None
                figures.append(
                    Figure(f"{size} MiB in {FILES} files, brought", brought, "cp -r", copied, goal=goal)
                )
        finally:
            stage.strike()
    return 0 if print_figures(figures) else 1


def measure(stage: DemoWorld, size_mib: int) -> tuple[float, float]:
    """Seconds of a bring step and of `cp`, the best of some jobs one after the other."""
    needs = ["make"]
    users = ""
    for number in range(ROUNDS):
        users += USER.format(number=number, needs=", ".join(needs))
        needs.append(f"use{number}")
    text = FLOW.format(files=FILES, part=(size_mib << 20) // FILES, users=users)
    headers = {"Authorization": f"Bearer {stage.settings()['AGENT_TOKEN']}"}
    with httpx.Client(base_url=stage.settings()["AGENT_URL"], headers=headers, timeout=60) as client:
        answer = client.post("/api/v1/runs", json={"flow": {"file": "data.yml", "text": text}})
        answer.raise_for_status()
        jobs = wait_for_run(client, answer.json()["run"])
        timed = [read_times(client, job) for job in jobs if job["key"] != "make"]
    return min(brought for brought, _ in timed), min(copied for _, copied in timed)


def wait_for_run(client: httpx.Client, run: int) -> list[dict[str, Any]]:
    """The run's jobs, when it has succeeded."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        view = client.get(f"/api/v1/runs/{run}").json()
        if view["status"] == "completed":
            if view["conclusion"] != "success":
                raise SystemExit(
                    f"run {run}: {view['conclusion']}, {[job['message'] for job in view['jobs']]}"
                )
            return list(view["jobs"])
        time.sleep(0.2)
    raise SystemExit(f"run {run} did not end")


def read_times(client: httpx.Client, job: dict[str, Any]) -> tuple[float, float]:
    """What the bring step of the job took, and what its `cp` says that it took."""
    view = client.get(f"/api/v1/jobs/{job['id']}").json()
    steps = {step["id"]: step for step in view["steps"]}
    copied = steps["copy"]["outputs"]
    return steps["__bring"]["seconds"], float(copied["ended"]) - float(copied["began"])


if __name__ == "__main__":
    sys.exit(main())
