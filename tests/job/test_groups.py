"""A job's control group: what hides from everything else is still found, and who was killed for memory is known."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.jobs import finish_job, read_report, run_job, script, start_job

from agent.daemon.causes import Clues, explain_death
from agent.job.launch.burial import bury
from agent.job.launch.launcher import remove_job_folder
from agent.job.process.cgroup import JobGroup
from agent.spec.outcome import Conclusion, FailureKind

# It drops the environment by which we know our own, and leaves its parent, its session and its output.
HIDE = "env -i setsid sh -c 'echo $$ >hidden; exec sleep 1000' </dev/null >/dev/null 2>&1 &\nwhile [ ! -s hidden ]; do :; done"


@pytest.fixture
def groups() -> Iterator[Path]:
    """A control group of this test's own, in which others can be made."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    root = next((Path(mount[1]) for mount in mounts if mount[2] == "cgroup2"), None)
    if root is None or not os.access(root / "cgroup.procs", os.W_OK):
        pytest.skip("this machine lets nobody make control groups (version 2) here; root can")
    folder = root / f"flow-test-{uuid.uuid4().hex}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"control groups can't be made here: {error.strerror}")
    yield folder
    for group in [*folder.iterdir(), folder]:
        if group.is_dir():
            (group / "cgroup.kill").write_text("1")
            wait_until_empty(group)
            group.rmdir()


def wait_until_empty(group: Path) -> None:
    while (group / "cgroup.procs").read_text():
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def test_a_jobs_processes_are_in_its_group_and_it_goes_with_the_job(tmp_path: Path, groups: Path) -> None:
    report = run_job(tmp_path, script("one", "cat /proc/self/cgroup"), settings={"job_groups": groups})
    assert report.conclusion is Conclusion.SUCCESS
    assert any(line.endswith(f"/{report.folder.tracking_id}") for line in report.output_of("one")), (
        report.log()
    )
    assert [path.name for path in groups.iterdir() if path.is_dir()] == [report.folder.tracking_id]
    wait_until_empty(groups / report.folder.tracking_id)
    remove_job_folder(report.folder)
    assert not [path for path in groups.iterdir() if path.is_dir()]


def test_what_hides_from_a_dead_supervisor_is_killed_by_the_group(tmp_path: Path, groups: Path) -> None:
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    folder, pid = start_job(
        tmp_path,
        script("one", f"{HIDE}\ntouch ready\nsleep 1000"),
        settings={"job_groups": groups, "workspace": workspace},
    )
    while not (workspace / "ready").exists():
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    hidden = int((workspace / "hidden").read_text())
    assert is_alive(hidden)
    bury(folder, FailureKind.LOST, "killed")
    wait_until_empty(groups / folder.tracking_id)
    assert not is_alive(hidden)
    assert read_report(folder).result.failure_kind is FailureKind.LOST


def test_without_a_group_jobs_run_all_the_same(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("one", "echo here"), settings={"job_groups": tmp_path / "no" / "group"})
    assert report.output_of("one") == ["here"]


def test_killing_a_group_from_within_spares_who_does_it(groups: Path) -> None:
    program = (
        "import subprocess, sys; from pathlib import Path; from agent.job.process.cgroup import JobGroup\n"
        "group = JobGroup(Path(sys.argv[1]), 'flow_x'); group.enter()\n"
        "child = subprocess.Popen(['sleep', '1000']); group.kill(); print(child.wait())"
    )

    done = subprocess.run(
        [sys.executable, "-c", program, str(groups)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "-9\n"


# This kernel's memory controller may belong to the first version of control groups; the files below are written as
# the kernel's cgroup-v2.rst shows them, into a plain folder in the group's place.
EVENTS = "low 0\nhigh 0\nmax 12\noom 1\noom_kill {}\noom_group_kill 0\n"


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """A folder in which any job finds a group that was counted: the kernel's side of the border."""
    return tmp_path / "groups"


def write_events(folder: Path, kills: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.events").write_text(EVENTS.format(kills))
    (folder / "memory.peak").write_text("3221225472\n")


def test_what_the_kernel_counted_is_read(counted: Path) -> None:
    write_events(counted / "flow_x", 2)
    group = JobGroup(counted, "flow_x")
    assert (group.count_oom_kills(), group.peak_bytes()) == (2, 3 << 30)
    assert (JobGroup(counted, "flow_y").count_oom_kills(), JobGroup(None, "").peak_bytes()) == (0, 0)


def test_a_step_that_was_killed_for_memory_says_so(tmp_path: Path, counted: Path) -> None:
    write = f"d=$(echo {counted}/flow_*); echo 'oom_kill 1' >$d/memory.events; echo 5242880 >$d/memory.peak; kill -9 $$"
    folder, pid = start_job(
        tmp_path,
        script("early", "exit 3", continue_on_error=True),
        script("one", write),
        settings={"job_groups": prepare(counted)},
    )
    report = finish_job(folder, pid)
    assert report.result.failure_kind is FailureKind.OOM
    assert "Process completed with exit code 137. The kernel killed a process of it" in report.result.message
    assert "had 5 MiB of memory at most" in report.log("__complete")


def prepare(counted: Path) -> Path:
    counted.mkdir()
    return counted


def test_a_supervisor_that_was_killed_for_memory_is_told_from_one_that_was_lost(
    tmp_path: Path, counted: Path
) -> None:
    report = run_job(tmp_path, script("one", "true"), settings={"job_groups": prepare(counted)})
    assert explain_death(report.folder, Clues())[0] is FailureKind.LOST
    write_events(counted / report.folder.tracking_id, 1)
    assert explain_death(report.folder, Clues(oom_kills=1))[0] is FailureKind.OOM


def test_jobs_give_up_the_protection_of_the_daemon(tmp_path: Path) -> None:
    try:
        Path("/proc/self/oom_score_adj").write_text("-500")
    except OSError:
        pytest.skip("only root may protect a process from the OOM killer")
    try:
        report = run_job(tmp_path, script("one", "cat /proc/self/oom_score_adj /proc/$PPID/oom_score_adj"))
    finally:
        Path("/proc/self/oom_score_adj").write_text("0")
    assert report.output_of("one") == ["0", "0"]
