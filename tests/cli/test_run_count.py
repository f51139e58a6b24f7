"""Runs of this machine are counted, each has a number of its own, and what can't be counted runs all the same."""

import subprocess
import sys
from pathlib import Path

from agent.cli.local_run.run_count import count_run

COUNT = "import sys; from pathlib import Path; from agent.cli.local_run.run_count import count_run\n"


def test_runs_are_counted_from_one_in_each_state(tmp_path: Path) -> None:
    assert [count_run(tmp_path / "state") for _ in range(3)] == [1, 2, 3]
    assert count_run(tmp_path / "other") == 1


def test_runs_that_start_at_once_have_numbers_of_their_own(tmp_path: Path) -> None:
    script = COUNT + "print([count_run(Path(sys.argv[1])) for _ in range(50)])"
    line = [sys.executable, "-c", script, tmp_path / "state"]
    counting = [subprocess.Popen(line, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    numbers = [number for process in counting for number in eval(process.communicate()[0])]
    assert sorted(numbers) == list(range(1, 201))


def test_what_lies_in_the_way_is_no_reason_not_to_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert count_run(tmp_path / "file") == 1
    (tmp_path / "local-runs").symlink_to("/etc/passwd")
    assert count_run(tmp_path) == 1
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "local-runs").write_text("what is this, in more than twenty bytes")
    assert [count_run(tmp_path / "state") for _ in range(2)] == [1, 2]
