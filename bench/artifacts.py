"""Artifacts against the plain tools: a job uploads, changes 1 %, uploads again, downloads; and ten thousand small files.

`bench/artifacts.py [MIB...]`; goals are for the largest. The floor is `cp` and `sha256sum` of the same bytes, in the same job, taking
turns with what is measured; a step is timed with all of it, the start of its process included. `-` leaves small files out.
"""

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import httpx
from data import wait_for_run
from measure import Figure, print_figures

from agent.cli.demo.stage import DemoWorld

SIZES_MIB = (64, 256, 1024)
ROUNDS = 3
FILES = 16
SMALL_FILES = 10_000
UP, DOWN, AGAIN, STORED, SMALL, MEMORY_MB = 1.5, 1.3, 0.1, 1.05, 2.0, 120

HEAD = """\
name: artifacts
on: workflow_dispatch
jobs:
  work:
    runs-on: self-hosted
    steps:
"""
# What is timed by the shell writes `began` and `ended`; the others are timed as steps.
ROUND = """\
      - run: rm -rf d copy in; mkdir d; for n in $(seq {files}); do head -c {part} /dev/urandom > d/$n; done
      - id: floor{r}
        run: |
          echo "began=$EPOCHREALTIME" >> "$GITHUB_OUTPUT"
          cp -r d copy; sha256sum copy/* > sums
          echo "ended=$EPOCHREALTIME" >> "$GITHUB_OUTPUT"
          rm -r copy; echo "stored=$(du -sb {blobs} | cut -f1)" >> "$GITHUB_OUTPUT"
      - {{id: up{r}, uses: flow-agent/upload-artifact@v1, with: {{name: first{r}, path: d}}}}
      - id: change{r}
        run: |
          echo "stored=$(du -sb {blobs} | cut -f1)" >> "$GITHUB_OUTPUT"
          head -c {changed} /dev/urandom | dd of=d/1 bs=1M conv=notrunc seek=1 status=none; sleep 0.05
      - {{id: again{r}, uses: flow-agent/upload-artifact@v1, with: {{name: again{r}, path: d}}}}
      - {{id: down{r}, uses: flow-agent/download-artifact@v1, with: {{name: again{r}, path: in}}}}
      - id: end{r}
        run: diff -r d in; echo "stored=$(du -sb {blobs} | cut -f1)" >> "$GITHUB_OUTPUT"
"""
SMALL_ROUND = """\
      - run: |
          rm -rf d out in d.tar; mkdir d
          head -c $(({count} * 1024)) /dev/urandom | split -b 1024 -a 5 -d - d/
      - id: floor{r}
        run: |
          echo "began=$EPOCHREALTIME" >> "$GITHUB_OUTPUT"
          tar -cf d.tar d; mkdir out; tar -xf d.tar -C out
          echo "ended=$EPOCHREALTIME" >> "$GITHUB_OUTPUT"
      - {{id: up{r}, uses: flow-agent/upload-artifact@v1, with: {{name: small{r}, path: d}}}}
      - {{id: down{r}, uses: flow-agent/download-artifact@v1, with: {{name: small{r}, path: in}}}}
      - run: diff -r d in
"""


def main() -> int:
    """Print the ratios; exit 1 when a goal is missed."""
    with_small = "-" not in sys.argv[1:]
    sizes = [int(word) for word in sys.argv[1:] if word != "-"] or list(SIZES_MIB)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stage = DemoWorld(Path(folder))
        stage.keeps_folder = True
        try:
            stage.start_server()
            stage.register_agent()
            stage.start_agent()
            for files in (FILES, 1):
                for size in sizes:
                    figures += measure_large(stage, size, files, has_goal=size == max(sizes))
            if with_small:
                figures += measure_small(stage)
            peak_mb = read_peak_mb(stage.process_ids()[0])
        finally:
            stage.strike()
    is_met = print_figures(figures)
    print(f"{'memory of the server, at most':<44} {peak_mb:8.1f} MB   goal {MEMORY_MB} MB")
    return 0 if is_met and peak_mb < MEMORY_MB else 1


def measure_large(stage: DemoWorld, size_mib: int, files: int, *, has_goal: bool) -> list[Figure]:
    """A tree of so many MiB: up, with 1 % changed up again, and down."""
    size = size_mib << 20
    blobs = stage.data / "blobs"
    text = HEAD + "".join(
        ROUND.format(r=r, files=files, part=size // files, changed=size // 100, blobs=blobs)
        for r in range(ROUNDS)
    )
    steps = run_flow(stage, text)
    rounds = range(ROUNDS)
    floor = min(read_timed(steps[f"floor{r}"]) for r in rounds)
    up, again, down = (
        min(steps[f"{what}{r}"]["seconds"] for r in rounds) for what in ("up", "again", "down")
    )
    stored = [
        [int(steps[f"{what}{r}"]["outputs"]["stored"]) for what in ("floor", "change", "end")] for r in rounds
    ]
    first, both = (sum(at[end] - at[0] for at in stored) / ROUNDS for end in (1, 2))
    name = f"{size_mib} MiB, {files} file{'' if files == 1 else 's'}"

    def goal(value: float) -> float | None:
        return value if has_goal else None

    return [
        Figure(f"{name}, uploaded", up, "cp and sha256sum", floor, goal(UP)),
        Figure(f"{name}, 1 % changed, uploaded", again, "the first time", up, goal(AGAIN)),
        Figure(f"{name}, downloaded", down, "cp and sha256sum", floor, goal(DOWN)),
        Figure(
            f"{name}, stored of both", both / 2**20, "of the first", first / 2**20, goal(STORED), unit="MiB"
        ),
    ]


def measure_small(stage: DemoWorld) -> list[Figure]:
    """Many small files, up and down."""
    text = HEAD + "".join(SMALL_ROUND.format(r=r, count=SMALL_FILES) for r in range(ROUNDS))
    steps = run_flow(stage, text)
    floor = min(read_timed(steps[f"floor{r}"]) for r in range(ROUNDS))
    both = min(steps[f"up{r}"]["seconds"] + steps[f"down{r}"]["seconds"] for r in range(ROUNDS))
    return [Figure(f"{SMALL_FILES} files of 1 KiB, up and down", both, "tar and untar", floor, SMALL)]


def run_flow(stage: DemoWorld, text: str) -> dict[str, Any]:
    """The steps of the flow's job, by id, when it has succeeded."""
    headers = {"Authorization": f"Bearer {stage.settings()['AGENT_TOKEN']}"}
    with httpx.Client(base_url=stage.settings()["AGENT_URL"], headers=headers, timeout=60) as client:
        answer = client.post("/api/v1/runs", json={"flow": {"file": "artifacts.yml", "text": text}})
        answer.raise_for_status()
        (job,) = wait_for_run(client, answer.json()["run"])
        view = client.get(f"/api/v1/jobs/{job['id']}").json()
        if os.environ.get("BENCH_LOG"):
            print(client.get(f"/api/v1/jobs/{job['id']}/log").text)
    return {step["id"]: step for step in view["steps"]}


def read_timed(step: dict[str, Any]) -> float:
    """Seconds, as the step's shell says."""
    return float(step["outputs"]["ended"]) - float(step["outputs"]["began"])


def read_peak_mb(process: int) -> float:
    """The most memory that the process ever had, in MB."""
    said = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", said)
    return int(found[1]) / 1000 if found else 0.0


if __name__ == "__main__":
    sys.exit(main())
