"""agent/job/launch/early.py: a supervisor that waits for its job."""

import os
import signal
from pathlib import Path

from support.jobs import finish_job, make_settings, make_spec, script

from agent.job.launch.launcher import create_job_folder, fork_early, fork_supervisor, is_running
from agent.spec.outcome import Conclusion


def test_the_first_job_is_the_waiting_supervisors_and_the_second_gets_one_of_its_own(tmp_path: Path) -> None:
    go = tmp_path / "go"
    waits = script(
        "waits", f"until test -e {go}; do sleep 0.01; done; echo ${{#W}}", env={"W": "${{ secrets.W }}"}
    )
    looks = script("looks", "ls -l /proc/$$/fd | grep -c -e lock -e socket || true")
    with fork_early() as early:
        folders = [
            create_job_folder(
                tmp_path / "jobs", make_spec(*steps, secrets=("W",)), 1, make_settings(tmp_path), {}
            )
            for steps in ((waits, looks), (script("a", "true"),))
        ]
        pids = [fork_supervisor(folder, {"W": "sesame"}, early) for folder in folders]
        assert pids[0] == early.pid != pids[1]
        assert is_running(folders[0])
        go.touch()
        reports = [finish_job(folder, pid) for folder, pid in zip(folders, pids, strict=True)]
    assert [report.conclusion for report in reports] == [Conclusion.SUCCESS] * 2
    assert reports[0].output_of("waits") == ["6"]
    assert reports[0].output_of("looks") == ["0"]  # open files of the supervisor
    assert not is_running(folders[0])


def test_one_that_was_killed_while_it_waited_is_replaced(tmp_path: Path) -> None:
    with fork_early() as early:
        os.kill(early.pid, signal.SIGKILL)
        os.waitpid(early.pid, 0)
        spec, settings = make_spec(script("a", "true")), make_settings(tmp_path)
        folder = create_job_folder(tmp_path / "jobs", spec, 1, settings, {})
        pid = fork_supervisor(folder, {}, early)
        assert pid != early.pid
        assert finish_job(folder, pid).conclusion is Conclusion.SUCCESS


def test_without_a_job_the_waiting_supervisor_is_gone_at_the_end() -> None:
    with fork_early() as early:
        assert early.is_free
        os.kill(early.pid, 0)
    assert not os.path.exists(f"/proc/{early.pid}")  # noqa: PTH110
