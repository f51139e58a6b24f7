"""Code stages: a file of small records through a function of Python's, of JavaScript's, and through a command, beside a flow without one.

    .venv/bin/python bench/code_stages.py [--records 200000] [--rounds 3]

Each flow is `agent flow run` with a file of records, from its start to its end: manual, the stage, and noop. What a stage costs is its flow's time less
that of the same flow with a noop in its place (the floor, in the same round). CPU time is of all processes, for a machine with other work.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from measure import AGENT, clean_environment

GOAL_RECORDS = 30_000  # a second, of Python
STAGES = {
    "noop": {"action": "noop"},
    "python": {
        "action": "python",
        "config": {"code": "def handle(record):\n    return {**record, 'total': record['amount'] + 1}\n"},
    },
    "python handle_batch": {
        "action": "python",
        "config": {
            "code": "def handle_batch(records):\n    return [{**r, 'total': r['amount'] + 1} for r in records]\n"
        },
    },
    "javascript": {
        "action": "javascript",
        "config": {"code": "export default (record) => ({ ...record, total: record.amount + 1 })"},
    },
    "run": {"action": "run", "config": {"run": "exec cat"}},
}


def main() -> int:
    """Print the figures; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        (folder / "empty").mkdir()
        records = folder / "records.jsonl"
        records.write_text(
            "".join(
                json.dumps({"id": number, "user": f"user-{number % 100}", "amount": number % 1000}) + "\n"
                for number in range(given.records)
            )
        )
        best = {stage: (float("inf"), float("inf")) for stage in STAGES}
        for _ in range(given.rounds):
            for stage in STAGES:
                took = _run(folder, stage, records)
                best[stage] = (min(best[stage][0], took[0]), min(best[stage][1], took[1]))
    floor = best["noop"]
    rates = {}
    for stage, (seconds, cpu) in best.items():
        rates[stage] = given.records / seconds
        own = f"   {max(cpu - floor[1], 0) / given.records * 1e6:5.1f} µs of CPU a record more than noop"
        print(f"{stage:<20} {seconds:6.2f} s  {rates[stage]:>9,.0f} records/s   {cpu:6.2f} s of CPU{own}")
    is_met = rates["python"] >= GOAL_RECORDS
    print(f"  python: goal {GOAL_RECORDS:,} records/s: {'met' if is_met else 'MISSED'}")
    return 0 if is_met else 1


def _run(folder: Path, stage: str, records: Path) -> tuple[float, float]:
    """(seconds, seconds of CPU) of the flow with that stage, in JSON: YAML of a kind."""
    flow = {
        "name": "code",
        "stages": [
            {"name": "in", "action": "manual", "out": ["work"]},
            {"name": "work", **STAGES[stage], "out": ["end"]},
            {"name": "end", "action": "noop"},
        ],
    }
    file = folder / "flow.yml"
    file.write_text(json.dumps(flow))
    command = [
        *(AGENT, "flow", "run", str(file), "--workspace", str(folder / "empty")),
        *("--event-file", str(records)),
    ]
    environment = clean_environment({"HOME": str(folder), "AGENT_STATE": str(folder / "state")})
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - began, os.times()
    return (
        seconds,
        after.children_user + after.children_system - before.children_user - before.children_system,
    )


if __name__ == "__main__":
    raise SystemExit(main())
