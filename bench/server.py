"""The server: how soon a job begins, how many end a second, and what a large fleet costs that does nothing."""

import asyncio
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
from fleet import Tally, register_fleet, start_fleet

from agent.cli.demo.stage import DemoWorld

STARTS = 40
ONE_STEP_JOBS = 200
IDLE_AGENTS = 1000
IDLE_SECONDS = 25.0
SIMULATED_JOBS = 1200
SIMULATED_AGENTS = 40
PATIENCE_SECONDS = 300.0


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    measures = {"start": measure_start, "jobs": measure_jobs, "idle": measure_idle, "flood": measure_flood}
    wanted = sys.argv[1:] or list(measures)
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    results = []
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            stage = DemoWorld(Path(folder))
            stage.keeps_folder = True
            try:
                stage.start_server()
                results.append(measures[name](stage))
            finally:
                stage.strike()
    return 0 if all(results) else 1


def measure_start(stage: DemoWorld) -> bool:
    """From the request that submits a run to the first line of its first step, with an idle agent."""
    stage.register_agent()
    stage.start_agent()
    mark = stage.folder / "mark"
    client, seconds, floor = _client(stage), [], []
    script = f"echo $EPOCHREALTIME > {mark}.new; mv {mark}.new {mark}"
    for _ in range(STARTS):
        mark.unlink(missing_ok=True)
        began = time.time()
        run = _submit(client, _flow(f"      - run: {script}\n", "self-hosted"))
        _wait_until(mark.exists)
        seconds.append(float(mark.read_text()) - began)
        _wait_for_run(client, run)
        began = time.time()
        client.get("/healthz").raise_for_status()
        subprocess.run(["bash", "-c", f"echo $EPOCHREALTIME > {mark}"], check=True)
        floor.append(float(mark.read_text()) - began)
    client.close()
    median, bare = statistics.median(seconds), statistics.median(floor)
    is_met = median < 0.050
    print(
        f"submit to first step, median of {STARTS:<7} {median * 1000:8.1f} ms   a request and a bash {bare * 1000:8.1f} ms"
        f"   {median / bare:5.1f} ×   goal 50 ms: {_verdict(is_met)}   (best {min(seconds) * 1000:.1f} ms)"
    )
    return is_met


def measure_jobs(stage: DemoWorld) -> bool:
    """One-step jobs that one real agent completes a second, eight at a time."""
    stage.register_agent("--max-jobs", "8")
    client = _client(stage)
    runs = [
        _submit(client, _matrix(20, "      - run: 'true'\n", "self-hosted"))
        for _ in range(ONE_STEP_JOBS // 20)
    ]
    began = time.perf_counter()
    stage.start_agent()
    for run in runs:
        _wait_for_run(client, run)
    rate = ONE_STEP_JOBS / (time.perf_counter() - began)
    client.close()
    began = time.perf_counter()
    for _ in range(50):
        subprocess.run([sys.executable, "-c", "pass"], check=True)
    floor = 50 / (time.perf_counter() - began)
    is_met = rate >= 20
    print(
        f"one-step jobs a second, one agent       {rate:8.1f} /s   starts of a bare Python {floor:6.1f} /s"
        f"   {rate / floor:5.2f} ×   goal 20 /s: {_verdict(is_met)}"
    )
    return is_met


def measure_idle(stage: DemoWorld) -> bool:
    """What a thousand connected agents that do nothing but beat cost the server."""
    server = psutil.Process(stage.process_ids()[0])
    time.sleep(2)
    bare_bytes, bare_part = server.memory_info().rss, _cpu_part(server, 5.0)

    async def hold() -> tuple[int, float]:
        async with _async_client(stage) as client:
            fleet = await register_fleet(client, IDLE_AGENTS, 1)
        tally = Tally()
        tasks = await start_fleet(stage.settings()["AGENT_URL"], fleet, tally, 1)
        await asyncio.sleep(12)  # past the first beats
        before = sum(server.cpu_times()[:2])
        await asyncio.sleep(IDLE_SECONDS)
        spent = sum(server.cpu_times()[:2]) - before
        size = server.memory_info().rss
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return size, spent / IDLE_SECONDS

    size, part = asyncio.run(hold())
    is_small, is_quiet = size < 300e6, part < 0.10
    print(
        f"{IDLE_AGENTS} idle agents: the server's memory    {size / 1e6:8.1f} MB   without any           {bare_bytes / 1e6:8.1f} MB"
        f"   {size / bare_bytes:5.2f} ×   goal 300 MB: {_verdict(is_small)}"
    )
    print(
        f"{IDLE_AGENTS} idle agents: of one core            {part * 100:8.1f} %    without any           {bare_part * 100:8.1f} %"
        f"             goal 10 %: {_verdict(is_quiet)}"
    )
    return is_small and is_quiet


def measure_flood(stage: DemoWorld) -> bool:
    """Jobs a second through their whole life: given out, accepted, their journals stored, released."""
    client = _client(stage)
    for _ in range(SIMULATED_JOBS // 20):
        _submit(client, _matrix(20, "      - run: 'true'\n", "sim"))
    client.close()
    server = psutil.Process(stage.process_ids()[0])

    async def work() -> tuple[float, float]:
        async with _async_client(stage) as http:
            fleet = await register_fleet(http, SIMULATED_AGENTS, 4)
        tally = Tally()
        before, began = sum(server.cpu_times()[:2]), time.perf_counter()
        tasks = await start_fleet(stage.settings()["AGENT_URL"], fleet, tally, 4)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while tally.released < SIMULATED_JOBS:
                tally.changed.clear()
                await tally.changed.wait()
        seconds = time.perf_counter() - began
        spent = sum(server.cpu_times()[:2]) - before
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return seconds, spent

    seconds, spent = asyncio.run(work())
    rate, floor = SIMULATED_JOBS / seconds, _commits_a_second(stage.folder)
    is_met = rate >= 200
    print(
        f"jobs a second, {SIMULATED_AGENTS} simulated agents      {rate:8.1f} /s   durable commits        {floor:8.1f} /s"
        f"   {rate / floor:5.2f} ×   goal 200 /s: {_verdict(is_met)}   (server: {spent / SIMULATED_JOBS * 1000:.2f} ms of CPU a job)"
    )
    return is_met


def _commits_a_second(folder: Path) -> float:
    """The floor: transactions of one row, each on the disk before the next, by SQLite alone."""
    connection = sqlite3.connect(folder / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state TEXT)")
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < 2:
        connection.execute("INSERT INTO jobs (state) VALUES ('queued')")
        count += 1
    connection.close()
    return count / (time.perf_counter() - began)


def _client(stage: DemoWorld) -> httpx.Client:
    settings = stage.settings()
    headers = {"Authorization": f"Bearer {settings['AGENT_TOKEN']}"}
    return httpx.Client(base_url=settings["AGENT_URL"], headers=headers, timeout=60)


def _async_client(stage: DemoWorld) -> httpx.AsyncClient:
    settings = stage.settings()
    headers = {"Authorization": f"Bearer {settings['AGENT_TOKEN']}"}
    return httpx.AsyncClient(base_url=settings["AGENT_URL"], headers=headers, timeout=60)


def _submit(client: httpx.Client, text: str) -> int:
    while True:
        answer = client.post("/api/v1/runs", json={"flow": {"file": "flow.yml", "text": text}})
        if answer.status_code != 429:
            return int(answer.raise_for_status().json()["run"])
        time.sleep(float(answer.headers.get("retry-after", 1)))


def _wait_for_run(client: httpx.Client, run: int) -> None:
    # Seldom, for who asks takes of the machine that is measured.
    _wait_until(lambda: _read(client, f"/api/v1/runs/{run}").get("status") == "completed", 0.1)


def _read(client: httpx.Client, path: str) -> dict[str, object]:
    answer = client.get(path)
    if answer.status_code == 429:
        time.sleep(float(answer.headers.get("retry-after", 1)))
        return {}
    return dict(answer.raise_for_status().json())


def _wait_until(claim: object, pause_seconds: float = 0.005) -> None:
    assert callable(claim)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not claim():
        if time.monotonic() > deadline:
            raise SystemExit("waited in vain: the server's log says more")
        time.sleep(pause_seconds)


def _cpu_part(process: psutil.Process, seconds: float) -> float:
    before = sum(process.cpu_times()[:2])
    time.sleep(seconds)
    return (sum(process.cpu_times()[:2]) - before) / seconds


def _flow(steps: str, runs_on: str) -> str:
    return f"on: push\njobs:\n  a:\n    runs-on: {runs_on}\n    steps:\n{steps}"


def _matrix(cells: int, steps: str, runs_on: str) -> str:
    numbers = ", ".join(str(number) for number in range(cells))
    strategy = f"    strategy: {{matrix: {{n: [{numbers}]}}}}\n"
    return f"on: push\njobs:\n  a:\n    runs-on: {runs_on}\n{strategy}    steps:\n{steps}"


def _verdict(is_met: bool) -> str:  # noqa: FBT001 - what it is called with says what it is
    return "met" if is_met else "MISSED"


if __name__ == "__main__":
    sys.exit(main())
