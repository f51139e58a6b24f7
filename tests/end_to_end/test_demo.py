"""`agent demo`: what a newcomer sees first."""

import os
import re
import signal
from pathlib import Path

from support.lab import run_agent, wait_for


def test_the_demo_keeps_every_promise_and_leaves_nothing(tmp_path: Path) -> None:
    done = run_agent("demo", environment={"TMPDIR": str(tmp_path)})
    assert done.code == 0, done.out + done.err
    assert "NOT SEEN" not in done.out
    assert done.out.count("✓ seen") == 9
    assert re.search(r"All of it was seen, in [\d.]+s", done.out)
    assert list(tmp_path.iterdir()) == []


def test_a_kept_demo_goes_on_and_says_how_to_explore_and_end_it(tmp_path: Path) -> None:
    done = run_agent("demo", "--keep", environment={"TMPDIR": str(tmp_path)})
    assert done.code == 0, done.out + done.err
    exports = dict(re.findall(r"(AGENT_\w+)=(\S+)", done.out))
    kill = re.search(r"kill ([\d ]+);", done.out)
    assert kill is not None
    pids = [int(pid) for pid in kill[1].split()]
    try:
        listed = run_agent("run", "list", environment=exports)
        assert "Train iris" in listed.out, listed.err
        assert run_agent("status", environment=exports).code == 0
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "both processes to end")
