"""Stages: a file of small records through five built-in stages of one flow, beside bytewax; and what a flow holds whose end stands still.

    .venv/bin/python bench/stages.py [--records 1000000] [--rounds 3]

The same work in each: read the lines, leave out a third by a field, keep three fields and make one an int, add two, count. Ours has
its delivery guarantee on: positions settle, a bookmark is kept, what failed would be a dead letter. bytewax runs without recovery,
its steps given batches of 1,000 and written as list comprehensions, which is as quick as it goes. It is measured with Python's JSON,
as its documents have it, and with msgspec, which is what ours decodes with: the goal is the first, the second says what the engine costs.
All take turns. Times are of whole processes, from their start to their end; CPU time is beside them, for a machine with other work.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from measure import AGENT, clean_environment

GOAL_RECORDS = 100_000  # a second
GOAL_BYTES = 100_000_000
BYTEWAX = "bytewax==0.21"

FLOW = """
name: five stages
stages:
  - {name: in, action: manual, out: [some]}
  - {name: some, action: filter, config: {field: kind, match: c}, out: [shape]}
  - {name: shape, action: field_map, config: {take: [id, user, amount], convert: {amount: int}}, out: [mark]}
  - {name: mark, action: merge_data, config: {data: {source: bench, version: 1}}, out: [end]}
  - {name: end, action: noop}
"""
BLOCKED = """
name: an end that stands still
stages:
  - {name: in, action: manual, out: [some]}
  - {name: some, action: filter, config: {field: kind, match: c}, out: [shape]}
  - {name: shape, action: field_map, config: {drop: [text]}, out: [mark]}
  - {name: mark, action: merge_data, config: {data: {source: bench, version: 1}}, out: [end]}
  - {name: end, action: delay, config: {seconds: 3600}}
"""
PEER = '''
"""The same work in bytewax."""
import json
import sys
import bytewax.operators as op
import msgspec
from bytewax.connectors.files import FileSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import cluster_main

decode = json.loads if sys.argv[3] == "json" else msgspec.json.Decoder().decode
seen = 0


class Count(StatelessSinkPartition):
    def write_batch(self, items):
        global seen
        seen += len(items)


class Sink(DynamicSink):
    def build(self, step_id, worker_index, worker_count):
        return Count()


def shape(batch):
    return [{"id": r["id"], "user": r["user"], "amount": int(r["amount"])} for r in batch]


flow = Dataflow("five")
stream = op.input("in", flow, FileSource(sys.argv[1], batch_size=1000))
stream = op.flat_map_batch("decode", stream, lambda batch: [decode(line) for line in batch])
stream = op.flat_map_batch("some", stream, lambda batch: [r for r in batch if r.get("kind") != "c"])
stream = op.flat_map_batch("shape", stream, shape)
stream = op.flat_map_batch("mark", stream, lambda batch: [{**r, "source": "bench", "version": 1} for r in batch])
op.output("end", stream, Sink())
cluster_main(flow, [], 0)
assert seen == int(sys.argv[2]), seen
'''


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        file = _write_records(folder / "records.jsonl", given.records)
        peer = _make_peer(folder)
        (folder / "flow.yml").write_text(FLOW)
        (folder / "blocked.yml").write_text(BLOCKED)
        passed = sum(1 for number in range(given.records) if number % 3 != 2)
        commands = [
            [
                AGENT,
                "flow",
                "run",
                str(folder / "flow.yml"),
                "--workspace",
                str(folder / "empty"),
                "--event-file",
                str(file),
            ],
            [*peer, str(file), str(passed), "json"],
            [*peer, str(file), str(passed), "msgspec"],
        ]
        (folder / "empty").mkdir()
        (ours, ours_cpu), (theirs, theirs_cpu), (quick, quick_cpu) = _time(commands, given.rounds, folder)
        is_quick = _say("ours", given.records, ours, ours_cpu) >= GOAL_RECORDS
        _say(BYTEWAX, given.records, theirs, theirs_cpu)
        _say("  with msgspec", given.records, quick, quick_cpu)
        is_quicker = ours <= theirs
        print(
            f"  {theirs / ours:.2f} × bytewax ({theirs_cpu / ours_cpu:.2f} × by CPU time)   goal 1 ×: {_met(is_quicker)}"
        )
        print(f"  goal {GOAL_RECORDS:,} records/s: {_met(is_quick)}")
        is_small = _measure_blocked(folder, file)
    return 0 if is_quick and is_quicker and is_small else 1


def _write_records(file: Path, count: int) -> Path:
    with file.open("w") as stream:
        for number in range(count):
            record = {
                "id": number,
                "user": f"user-{number % 100}",
                "kind": "abc"[number % 3],
                "amount": str(number % 1000),
                "text": "hello world",
            }
            stream.write(json.dumps(record) + "\n")
    return file


def _make_peer(folder: Path) -> list[str]:
    """bytewax, in an environment of its own."""
    subprocess.run([sys.executable, "-m", "venv", str(folder / "peer")], check=True)
    python = str(folder / "peer" / "bin" / "python")
    subprocess.run(
        [python, "-m", "pip", "install", "-q", BYTEWAX, "msgspec"], check=True, stderr=subprocess.DEVNULL
    )
    (folder / "peer.py").write_text(textwrap.dedent(PEER))
    return [python, str(folder / "peer.py")]


def _time(commands: Sequence[Sequence[str]], rounds: int, folder: Path) -> list[tuple[float, float]]:
    """(seconds, seconds of CPU) of each: the best of its rounds."""
    best = [(float("inf"), float("inf"))] * len(commands)
    environment = clean_environment({"HOME": str(folder), "AGENT_STATE": str(folder / "state")})
    for _ in range(rounds):
        for place, command in enumerate(commands):
            before, began = os.times(), time.perf_counter()
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
            seconds, after = time.perf_counter() - began, os.times()
            cpu = after.children_user + after.children_system - before.children_user - before.children_system
            best[place] = (min(best[place][0], seconds), min(best[place][1], cpu))
    return best


def _measure_blocked(folder: Path, file: Path) -> bool:
    """The most that any process of a flow holds whose last stage stands still."""
    command = [
        AGENT,
        "flow",
        "run",
        str(folder / "blocked.yml"),
        "--workspace",
        str(folder / "empty"),
        "--event-file",
        str(file),
    ]
    environment = clean_environment({"HOME": str(folder), "AGENT_STATE": str(folder / "state")})
    most, steady = 0, 0
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while steady < 50:  # until it grows no more
            time.sleep(0.1)
            tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            now = max(each.memory_info().rss for each in tree)
            steady = steady + 1 if now <= most else 0
            most = max(most, now)
        process.terminate()
        process.kill()
    is_met = most < GOAL_BYTES
    print(f"  {most / 1e6:.0f} MB resident with a last stage that stands still   goal 100 MB: {_met(is_met)}")
    return is_met


def _say(name: str, records: int, seconds: float, cpu: float) -> float:
    rate = records / seconds
    print(
        f"{name:<20} {seconds:6.2f} s  {rate:>12,.0f} records/s   {cpu:6.2f} s of CPU  {records / cpu:>12,.0f} records/s"
    )
    return rate


def _met(is_met: object) -> str:
    return "met" if is_met else "MISSED"


if __name__ == "__main__":
    raise SystemExit(main())
