"""`kill -9` of each of our processes in the middle of a job: the log is complete, once, and the run ends as it should.

In CI those in which the server dies in the middle of a job run on PostgreSQL too; all of them on both stores by hand:
`AGENT_TEST_STORES=both .venv/bin/pytest -n 2 tests/end_to_end/test_crashes.py tests/end_to_end/test_scheduling.py`.
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from support.jumping import JumpingClock
from support.lab import PATIENCE_SECONDS, Lab, command_line, supervisor_pids, wait_for

LINES = 400


@pytest.fixture
def counting(lab: Lab) -> Path:
    """A flow that prints half of its lines, waits for the file `go`, and prints the rest."""
    return lab.write_flow(f"""
  count:
    runs-on: self-hosted
    outputs:
      last: ${{{{ steps.count.outputs.last }}}}
    steps:
      - id: count
        run: |
          for n in $(seq 1 {LINES // 2}); do echo "line $n"; done
          touch {lab.folder}/half
          while [ ! -e {lab.folder}/go ]; do sleep 0.05; done
          for n in $(seq {LINES // 2 + 1} {LINES}); do echo "line $n"; done
          echo "last=$n" >> "$GITHUB_OUTPUT"
""")


def wait_for_half(lab: Lab) -> None:
    wait_for((lab.folder / "half").exists, "half of the lines")


def go_on(lab: Lab) -> None:
    (lab.folder / "go").touch()


def check_complete(lab: Lab, run: int) -> None:
    view = lab.wait_for_run(run)
    assert view["conclusion"] == "success", view
    (job,) = view["jobs"]
    assert job["outputs"] == {"last": str(LINES)}
    counted = [line for line in lab.lines(run, "count") if line.startswith("line ")]
    assert counted == [f"line {n}" for n in range(1, LINES + 1)]


def job_folders(lab: Lab, agent: str) -> list[Path]:
    return [folder for folder in (lab.state(agent) / "jobs").iterdir() if (folder / "spec.json").exists()]


def test_a_killed_daemon_picks_its_job_up_again(lab: Lab, counting: Path) -> None:
    lab.add_agent("box")
    run = lab.submit(counting)
    wait_for_half(lab)
    lab.kill("box")
    go_on(lab)
    lab.start_agent("box")
    check_complete(lab, run)
    wait_for(lambda: not job_folders(lab, "box"), "the finished job's folder to go")


def test_a_job_ends_while_its_daemon_is_dead_and_nothing_of_it_is_lost(lab: Lab, counting: Path) -> None:
    lab.add_agent("box")
    run = lab.submit(counting)
    wait_for_half(lab)
    lab.kill("box")
    go_on(lab)
    (folder,) = job_folders(lab, "box")
    wait_for(lambda: not supervisor_pids(folder), "the supervisor to finish alone")
    assert lab.run(run)["status"] == "running"
    lab.start_agent("box")
    check_complete(lab, run)


@pytest.mark.store("sqlite", "postgresql")
def test_a_killed_server_goes_on_where_it_was(lab: Lab, counting: Path) -> None:
    lab.add_agent("box")
    run = lab.submit(counting)
    wait_for_half(lab)
    lab.kill("server")
    lab.start_server()
    go_on(lab)
    check_complete(lab, run)


@pytest.mark.store("sqlite", "postgresql")
def test_a_server_whose_clock_leaps_while_an_agent_is_away_gives_none_of_its_jobs_up(
    lab: Lab, counting: Path, tmp_path: Path
) -> None:
    clock = JumpingClock(tmp_path / "clock")
    lab.kill("server")
    lab.environment |= clock.environment
    lab.start_server()
    lab.add_agent("box")
    run = lab.submit(counting)
    wait_for_half(lab)
    lab.kill("box")
    clock.jump(3600)  # beyond the grace of leases
    other = lab.submit(lab.write_flow("  b:\n    runs-on: nowhere\n    steps: [{run: 'true'}]\n", "other"))
    wait_for(lambda: lab.run(other)["jobs"][0]["waiting"], "the server to have looked at its leases")
    go_on(lab)
    lab.start_agent("box")
    check_complete(lab, run)


@pytest.mark.store("sqlite", "postgresql")
def test_a_job_ends_while_the_server_is_dead(lab: Lab, counting: Path) -> None:
    lab.add_agent("box")
    run = lab.submit(counting)
    wait_for_half(lab)
    lab.kill("server")
    go_on(lab)
    (folder,) = job_folders(lab, "box")
    wait_for(lambda: not supervisor_pids(folder), "the supervisor to finish alone")
    lab.start_server()
    check_complete(lab, run)


@pytest.mark.store("sqlite", "postgresql")
def test_daemon_and_server_killed_together(lab: Lab, counting: Path) -> None:
    lab.add_agent("box")
    run = lab.submit(counting)
    wait_for_half(lab)
    lab.kill("server")
    lab.kill("box")
    go_on(lab)
    lab.start_server()
    lab.start_agent("box")
    check_complete(lab, run)


def test_a_stopped_daemon_leaves_its_job_running(lab: Lab, counting: Path) -> None:
    lab.add_agent("box")
    run = lab.submit(counting)
    wait_for_half(lab)
    assert lab.stop("box", signal.SIGTERM) == 0
    (folder,) = job_folders(lab, "box")
    assert supervisor_pids(folder), "the job goes on"
    lab.start_agent("box")
    go_on(lab)
    check_complete(lab, run)


def test_a_killed_supervisor_ends_its_job_as_lost_not_as_the_users_failure(lab: Lab, counting: Path) -> None:
    lab.add_agent("box")
    run = lab.submit(counting)
    wait_for_half(lab)
    (folder,) = job_folders(lab, "box")
    wait_for(
        lambda: f"line {LINES // 2}".encode() in (folder / "journal").read_bytes(), "the lines in the journal"
    )
    for pid in supervisor_pids(folder):
        os.kill(pid, signal.SIGKILL)
    view = lab.wait_for_run(run)
    (job,) = view["jobs"]
    assert (view["conclusion"], job["failure_kind"]) == ("failure", "lost"), view
    assert job["message"]
    counted = [line for line in lab.lines(run, "count") if line.startswith("line ")]
    assert counted == [f"line {n}" for n in range(1, LINES // 2 + 1)], "what was said is kept"


def test_a_journal_that_its_job_swapped_while_the_daemon_was_dead_ends_that_job_on_the_server(
    lab: Lab, counting: Path
) -> None:
    lab.add_agent("box")
    run = lab.submit(counting)
    wait_for_half(lab)
    (folder,) = job_folders(lab, "box")
    shipped = lab.data / "journals" / folder.name
    half = f"line {LINES // 2}\n".encode()
    wait_for(lambda: shipped.exists() and half in shipped.read_bytes(), "half of the lines on the server")
    lab.kill("box")
    (folder / "journal").unlink()
    os.mkfifo(folder / "journal")
    lab.start_agent("box")
    view = lab.wait_for_run(run)
    (job,) = view["jobs"]
    assert (view["conclusion"], job["failure_kind"]) == ("failure", "infrastructure"), view
    assert job["message"] == "the job's folder was tampered with: 'journal' is a FIFO, not a file"
    wait_for(lambda: not job_folders(lab, "box"), "the finished job's folder to go")
    assert lab.agent_view("box")["status"] == "online"


def test_a_queued_job_survives_a_restart_of_the_server(lab: Lab) -> None:
    flow = lab.write_flow("  a:\n    runs-on: self-hosted\n    steps: [{run: 'true'}]\n")
    run = lab.submit(flow)
    lab.kill("server")
    lab.start_server()
    lab.add_agent("box")
    assert lab.wait_for_run(run)["conclusion"] == "success"


def test_who_watches_a_run_hears_that_the_server_is_away_and_that_it_is_back(lab: Lab) -> None:
    flow = lab.write_flow("  a:\n    runs-on: nobody-has-this\n    steps: [{run: 'true'}]\n")
    run = str(lab.submit(flow))
    shown = lab.folder / "watched"
    with shown.open("wb") as out:
        watching = subprocess.Popen(
            command_line("run", "watch", run),
            env={**os.environ, **lab.environment},
            stdout=out,
            stderr=out,
        )
    try:
        wait_for(lambda: b"no agent is connected" in shown.read_bytes(), "the reason to be shown")
        lab.kill("server")
        wait_for(lambda: b"can't be reached; trying again" in shown.read_bytes(), "the loss to be told")
        lab.start_server()
        wait_for(lambda: b"the server is there again" in shown.read_bytes(), "the end of it to be told")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE_SECONDS) == 130
    finally:
        watching.kill()
        watching.wait()
    told = shown.read_text()
    assert told.count("can't be reached") == 1
    assert f"stopped following; run {run} goes on" in told
    assert f"agent run cancel {run}" in told


def test_a_server_that_is_not_there_is_told_at_once_to_who_watches_a_run(lab: Lab) -> None:
    done = lab.agent("run", "watch", "1", "--url", "http://127.0.0.1:9")
    assert done.code == 1
    assert "can't be reached" in done.err
