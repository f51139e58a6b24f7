"""Resident memory of an idle agent that is connected to a server, beside an idle Python that imported asyncio."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from measure import clean_environment

GOAL_BYTES = 60_000_000
SETTLE_SECONDS = 5.0


def main() -> int:
    """Print the figures; exit 1 when the goal is missed."""
    from agent.cli.demo.stage import DemoWorld

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        stage = DemoWorld(Path(name))
        stage.keeps_folder = True
        try:
            stage.start_server()
            stage.register_agent()
            stage.start_agent()
            time.sleep(SETTLE_SECONDS)  # past the first heartbeat
            agent = resident_bytes(stage.process_ids()[1])
            summed = summed_bytes(stage.process_ids()[1])
            server = resident_bytes(stage.process_ids()[0])
        finally:
            stage.strike()
    floor = idle_python_bytes()
    is_met = agent < GOAL_BYTES
    print(
        f"idle agent, with its fork server {agent / 1e6:8.1f} MB   goal 60 MB: {'met' if is_met else 'MISSED'}"
    )
    print(f"  shared pages counted twice     {summed / 1e6:8.1f} MB")
    print(f"idle Python with asyncio         {floor / 1e6:8.1f} MB   the agent is {agent / floor:.2f} × that")
    print(f"idle server                      {server / 1e6:8.1f} MB")
    return 0 if is_met else 1


def resident_bytes(pid: int) -> int:
    """Resident bytes of a process and all of its descendants, pages that they share counted once (PSS)."""
    process = psutil.Process(pid)
    return sum(member.memory_full_info().pss for member in [process, *process.children(recursive=True)])


def summed_bytes(pid: int) -> int:
    """The sum of what each of them has resident by itself (RSS)."""
    process = psutil.Process(pid)
    return sum(member.memory_info().rss for member in [process, *process.children(recursive=True)])


def idle_python_bytes() -> int:
    """The same of a Python that does nothing but wait."""
    program = "import asyncio, sys; print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_environment(),
    )
    assert process.stdout is not None
    process.stdout.readline()
    size = resident_bytes(process.pid)
    process.communicate(b"")
    return size


if __name__ == "__main__":
    sys.exit(main())
