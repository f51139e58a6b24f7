"""Viewers of one log that grows: how old a line is when they have it, for one viewer and for many, and what the server does for others meanwhile.

    .venv/bin/python bench/viewers.py [--viewers 50] [--rate 10000] [--seconds 15]

The job's lines are the moments at which they were printed. All viewers are one process, which looks at the last line of whatever has
come; what comes in the first seconds, while they catch up with what was printed before, does not count.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from measure import clean_environment

from agent.cli.demo.stage import DemoWorld

GOAL = 3.0  # times one viewer's
GOAL_HEALTH_MS = 25.0
_TEXT = re.compile(rb'"text":"@([0-9.]+)"')
_WARM_SECONDS = 3.0
_KEPT = 64  # bytes at a read's end that may hold half a line
_WRITER = """\
import sys, time
rate, until = int(sys.argv[1]), time.time() + float(sys.argv[2])
while time.time() < until:
    began = time.time()
    sys.stdout.write("".join(f"@{time.time():.4f}\\n" for _ in range(rate // 50)))
    sys.stdout.flush()
    time.sleep(max(0.0, 0.02 - (time.time() - began)))
"""


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--rate", type=int, default=10_000, help="lines a second")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--look", nargs=4, metavar=("URL", "TOKEN", "JOB", "COUNT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.look:
        url, token, job, count = options.look
        print(json.dumps(asyncio.run(_look(url, token, job, int(count)))))
        return 0
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    one = _measure(1, options.rate, options.seconds)
    many = _measure(options.viewers, options.rate, options.seconds)
    ratio = many["p99"] / one["p99"]
    print(
        f"p99 of {options.viewers} viewers against one: {ratio:.1f} × (goal {GOAL:g} ×: {'met' if ratio <= GOAL else 'MISSED'})"
    )
    is_quick = many["health_p99"] <= GOAL_HEALTH_MS
    print(
        f"/healthz p99 meanwhile: {many['health_p99']:.1f} ms (goal {GOAL_HEALTH_MS:g}: {'met' if is_quick else 'MISSED'})"
    )
    return 0 if ratio <= GOAL and is_quick else 1


def _measure(viewers: int, rate: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stage = DemoWorld(Path(folder))
        stage.keeps_folder = True
        try:
            stage.start_server()
            stage.register_agent()
            stage.start_agent()
            writer = Path(folder) / "writer.py"
            writer.write_text(_WRITER)
            step = f"{sys.executable} {writer} {rate} {seconds + 5}"
            flow = {
                "on": "workflow_dispatch",
                "jobs": {"a": {"runs-on": "self-hosted", "steps": [{"run": step}]}},
            }
            client = stage.client()
            run = client.post("/api/v1/runs", {"flow": {"file": "flow.yml", "text": json.dumps(flow)}})["run"]
            while not client.get(f"/api/v1/runs/{run}")["jobs"][0]["started"]:
                time.sleep(0.05)
            job = client.get(f"/api/v1/runs/{run}")["jobs"][0]["id"]
            server = next(one for one in psutil.Process().children() if "server" in one.cmdline())
            before = _cpu_seconds(server)
            found = _run_viewers(client.url, stage.token, job, viewers)
            spent = _cpu_seconds(server) - before
            figures = _figures(found)
            print(
                f"{viewers:4} viewers of {rate:,} lines/s: a line is {figures['p50'] * 1000:8.1f} ms old (p50), {figures['p99'] * 1000:8.1f} (p99);"
                f" /healthz {figures['health_p50']:6.1f} ms (p50), {figures['health_p99']:6.1f} (p99); server {spent:.1f} s of CPU; {figures['reads']:.0f} reads"
            )
            return figures
        finally:
            stage.strike()


def _run_viewers(url: str, token: str, job: str, viewers: int) -> dict[str, list[float]]:
    command = [sys.executable, __file__, "--look", url, token, job, str(viewers)]
    done = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def _figures(found: dict[str, list[float]]) -> dict[str, float]:
    ages, health = sorted(found["ages"]), sorted(found["health"])
    assert all(ended for ended in found["ended"]), "a viewer did not see the end"
    return {
        "p50": _at(ages, 0.5),
        "p99": _at(ages, 0.99),
        "reads": len(ages),
        "health_p50": _at(health, 0.5) * 1000,
        "health_p99": _at(health, 0.99) * 1000,
    }


def _at(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _look(url: str, token: str, job: str, viewers: int) -> dict[str, list[float]]:
    """The age of the newest line of each read, of all viewers, and how long `/healthz` took."""
    ages: list[float] = []
    health: list[float] = []
    checking = asyncio.create_task(_check(url, health))
    ended = await asyncio.gather(*(_view(url, token, job, ages) for _ in range(viewers)))
    checking.cancel()
    return {"ages": ages, "health": health, "ended": list(ended)}


async def _view(url: str, token: str, job: str, ages: list[float]) -> bool:
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"GET /api/v1/jobs/{job}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    writer.write(head.encode())
    rest, counts_from = b"", time.monotonic() + _WARM_SECONDS
    while data := await reader.read(1 << 18):
        text = rest + data
        place_of_last = text.rfind(b'"text":"@')
        if (
            place_of_last >= 0
            and time.monotonic() > counts_from
            and (found := _TEXT.match(text, place_of_last))
        ):
            ages.append(time.time() - float(found[1]))
        rest = text[-_KEPT:]
        if b"event: end" in text:
            writer.close()
            return True
    return False


async def _check(url: str, health: list[float]) -> None:
    place = urlsplit(url)
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            began = time.perf_counter()
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            await reader.read()
            writer.close()
            health.append(time.perf_counter() - began)
            await asyncio.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
