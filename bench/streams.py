"""A webhook into a deployed flow and out of it again: how long a record is on its way, at a steady rate, through a real server and agent.

    .venv/bin/python bench/streams.py [--rate 500] [--seconds 10]
    .venv/bin/python bench/streams.py --idle 50

What sends and what receives are processes of their own. The floor is the same sender and receiver without anything between them.
`--idle`: what flows that have nothing to do cost in memory, each, pages that they share counted once.
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
from idle import resident_bytes
from measure import AGENT, clean_environment

from agent.cli.demo.stage import DemoWorld
from agent.job.launch.launcher import list_job_folders
from agent.job.process.ending import find_supervisors

GOAL_MS = 20.0
IDLE_GOAL_BYTES = 8_000_000
_SETTLE_SECONDS = 5.0  # until an idle flow has done all that it does at its beginning
_CONNECTIONS = 64
FLOW = """
name: NAME
stages:
  - {name: in, action: webhook, config: {path: /NAME}, out: send}
  - {name: send, action: webhook, config: {url: "SINK", concurrency: 16}}
"""


def main() -> int:
    """Print the figures; exit 1 when the goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=int, default=500, help="records a second")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--idle", type=int, metavar="COUNT", help="measure so many idle flows instead")
    parser.add_argument("--send", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--receive", type=int, metavar="COUNT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        asyncio.run(_send(options.send, options.rate, options.seconds))
        return 0
    if options.receive:
        asyncio.run(_receive(options.receive))
        return 0
    return _measure_idle(options.idle) if options.idle else _measure(options.rate, options.seconds)


def _measure_idle(count: int) -> int:
    with _world("--max-jobs", str(count)) as (world, folder):
        agent = world.process_ids()[1]
        _deploy(world, folder, "http://127.0.0.1:9/", "warm")  # the fork server has loaded what flows need
        time.sleep(_SETTLE_SECONDS)
        before = resident_bytes(agent)  # supervisors are its descendants
        for number in range(1, count):
            _deploy(world, folder, "http://127.0.0.1:9/", f"idle-{number}")
        while len(_supervisors(world)) < count:
            time.sleep(0.1)
        time.sleep(_SETTLE_SECONDS)
        after = resident_bytes(agent)
        own = statistics.mean(psutil.Process(pid).memory_full_info().uss for pid in _supervisors(world))
    cost = (after - before) / (count - 1)
    is_met = cost <= IDLE_GOAL_BYTES
    print(
        f"an idle flow, {count} on one agent  {cost / 1e6:5.1f} MB (PSS), {own / 1e6:5.1f} MB its own"
        f"   goal 8 MB: {'met' if is_met else 'MISSED'}"
    )
    return 0 if is_met else 1


def _supervisors(world: DemoWorld) -> list[int]:
    """The processes that run jobs of this world's agent."""
    folders = list_job_folders(world.agent_state / "jobs")
    return [pid for folder in folders for pid in find_supervisors(folder)]


@contextlib.contextmanager
def _world(*options: str) -> Iterator[tuple[DemoWorld, Path]]:
    """A server and an agent, in a folder."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        world = DemoWorld(Path(folder))
        world.keeps_folder = True
        try:
            world.start_server()
            world.register_agent(*options)
            world.start_agent()
            yield world, Path(folder)
            for deployment in world.client().get("/api/v1/deployments")["deployments"]:
                world.client().delete(f"/api/v1/deployments/{deployment['name']}")
            while _supervisors(world):
                time.sleep(0.1)
        finally:
            world.strike()


def _measure(rate: int, seconds: int) -> int:
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    floor = _pass_through(rate, seconds, lambda sink: sink)
    _print(f"{rate}/s straight from sender to receiver", floor)
    with _world() as (world, folder):
        taken = _pass_through(rate, seconds, lambda sink: _start_flow(world, folder, sink))
    _print(f"{rate}/s through a deployed flow", taken)
    is_met = _percentile(taken, 99) < GOAL_MS
    print(f"  p99 goal {GOAL_MS:g} ms: {'met' if is_met else 'MISSED'}")
    return 0 if is_met else 1


def _pass_through(rate: int, seconds: int, place: Any) -> Sequence[float]:
    """Milliseconds of each record from its sender to the receiver; `place` says where to send, for a receiver's address."""
    words = [sys.executable, __file__, "--rate", str(rate), "--seconds", str(seconds)]
    with subprocess.Popen(
        [*words, "--receive", str(rate * seconds)], stdout=subprocess.PIPE, text=True
    ) as receiver:
        assert receiver.stdout is not None
        subprocess.run([*words, "--send", place(receiver.stdout.readline().strip())], check=True)
        times: list[float] = json.loads(receiver.stdout.readline())
    if len(times) != rate * seconds:
        raise SystemExit(f"{len(times)} of {rate * seconds} records arrived")
    return times


def _start_flow(world: DemoWorld, folder: Path, sink: str) -> str:
    url = _deploy(world, folder, sink, "relay")
    httpx.post(url, json={"at": 0.0}).raise_for_status()  # the flow has begun when this one has come out
    return url


def _deploy(world: DemoWorld, folder: Path, sink: str, name: str) -> str:
    """Where a flow of that name receives."""
    file = folder / f"{name}.yml"
    file.write_text(FLOW.replace("NAME", name).replace("SINK", sink))
    command = [AGENT, "flow", "deploy", str(file)]
    done = subprocess.run(
        command, env=clean_environment(world.settings()), capture_output=True, text=True, check=True
    )
    return next(line.split()[-1] for line in done.stdout.splitlines() if "receives at" in line)


async def _send(url: str, rate: int, seconds: int) -> None:
    """A sender in a few lines, as the receiver is: one request at a time on each of its connections, as soon as it is due."""
    parts = urlsplit(url)
    head = f"POST {parts.path or '/'} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: "
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(_CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection(parts.hostname, parts.port))

    async def post() -> None:
        body = json.dumps({"at": time.time()})
        reader, writer = await idle.get()
        writer.write(f"{head}{len(body)}\r\n\r\n{body}".encode())
        answered = await reader.readuntil(b"\r\n\r\n")
        if not answered.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
            raise SystemExit(f"the answer is {answered.decode()}")
        await reader.readexactly(_length(answered))
        idle.put_nowait((reader, writer))

    await asyncio.sleep(3)  # the first record has begun the flow
    async with asyncio.TaskGroup() as group:
        began = time.perf_counter()
        for number in range(rate * seconds):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            group.create_task(post())


def _length(head: bytes) -> int:
    return int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))[15:])


async def _receive(count: int) -> None:
    """A receiver in a few lines: a library's would be measured with it."""
    times: list[float] = []
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):  # its connection ends
            while True:
                await answer(reader, writer)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        sent = json.loads(await reader.readexactly(_length(head)))["at"]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        if sent:
            times.append((time.time() - sent) * 1000)
        if len(times) >= count:
            over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    async with asyncio.timeout(120):
        await over.wait()
    print(json.dumps(times), flush=True)
    os._exit(0)  # connections are open still


def _print(what: str, times: Sequence[float]) -> None:
    marks = "  ".join(f"p{part} {_percentile(times, part):6.1f} ms" for part in (50, 90, 99))
    print(f"{what:<42} {marks}  most {max(times):6.1f} ms")


def _percentile(times: Sequence[float], part: int) -> float:
    return statistics.quantiles(times, n=100)[part - 1]


if __name__ == "__main__":
    sys.exit(main())
