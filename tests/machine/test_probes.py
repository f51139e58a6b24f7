"""agent/machine/probes: what the system says, also where it says little."""

import os
import threading
from pathlib import Path

import pytest

from agent.machine.deadline import start_call
from agent.machine.probes.cgroup import limit_cpus, limit_memory
from agent.machine.probes.cpu import CpuTime, compute_cpu_percent, count_cpus, find_cpu_model, read_cpu_time
from agent.machine.probes.disk import list_disks, measure_free_bytes
from agent.machine.probes.memory import measure_memory_bytes, measure_memory_used_bytes
from agent.machine.probes.tools import probe_tools


def add_program(folder: Path, name: str, script: str) -> None:
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An otherwise empty PATH; what a script needs is called by its full name."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


# --- tools


def test_versions_are_read_from_what_tools_print(programs: Path):
    add_program(programs, "bash", "echo 'GNU bash, version 5.2.15(1)-release (x86_64-pc-linux-gnu)'")
    add_program(programs, "git", "echo 'git version 2.39.5 (Apple Git-154)'")
    add_program(programs, "node", "echo v24.1.0")
    add_program(programs, "python3", "echo 'Python 3.12.4'")
    add_program(programs, "docker", """echo '{"Client":{"Version":"1.0"},"Server":{"Version":"28.2.2"}}'""")
    versions = {"bash": "5.2.15", "docker": "28.2.2", "git": "2.39.5", "node": "24.1.0", "python": "3.12.4"}
    assert probe_tools() == (versions, ())


def test_what_is_missing_is_a_problem_only_where_jobs_cannot_do_without(programs: Path):
    versions, problems = probe_tools()
    assert versions == {}
    assert [problem.split(":")[0] for problem in problems] == [
        "bash is not installed",
        "git is not installed",
    ]


def test_a_docker_without_an_engine_is_told_of_in_its_own_words(programs: Path):
    add_program(
        programs,
        "docker",
        """echo '{"Server":null}'; echo 'Cannot connect to the Docker daemon' >&2; exit 1""",
    )
    versions, problems = probe_tools()
    assert "docker" not in versions
    assert (
        "its engine does not answer: no container jobs (Cannot connect to the Docker daemon)" in problems[1]
    )


@pytest.mark.parametrize("answer", ["", "[]", "not json", "{}", '{"Server":{}}'])
def test_a_docker_that_prints_something_else_is_one_without_an_engine(programs: Path, answer: str):
    add_program(programs, "docker", f"echo '{answer}'")
    assert any("its engine does not answer" in problem for problem in probe_tools()[1])


def test_a_tool_that_hangs_is_killed_with_its_children(programs: Path, tmp_path: Path):
    """The child keeps the output pipe open: who waits for its end waits for ever."""
    note = tmp_path / "pids"
    note.touch()
    add_program(programs, "docker", f"/bin/sleep 1000 & echo $! >> {note}; echo $$ >> {note}; wait")
    versions, problems = probe_tools(timeout_seconds=1)
    assert versions == {}
    assert "docker is installed but did not answer within 1 seconds" in problems
    for pid in note.read_text().split():
        while is_alive(int(pid)):  # SIGKILL is sent; the kernel carries it out in its own time
            os.sched_yield()


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"  # killed, and not yet collected by init


def test_a_tool_that_cannot_be_started_is_told_of(programs: Path):
    (programs / "git").write_text("no program at all")
    (programs / "git").chmod(0o755)
    assert any(problem.startswith("git is installed but cannot be started") for problem in probe_tools()[1])


def test_a_tool_that_tells_no_version_is_left_out(programs: Path):
    add_program(programs, "node", "echo hello; exit 3")
    assert probe_tools()[0] == {}


# --- calls that never come back


def test_a_call_hands_over_its_result_and_its_error():
    assert start_call(lambda: 7, name="seven").result(10) == 7
    with pytest.raises(ZeroDivisionError):
        start_call(lambda: 1 // 0, name="error").result(10)


def test_a_call_that_is_stuck_holds_nobody_up():
    gate = threading.Event()
    call = start_call(gate.wait, name="stuck")
    with pytest.raises(TimeoutError):
        call.result(0.01)
    assert not call.done()
    gate.set()
    assert call.result(10) is True


# --- cpu


def test_the_cpus_name_is_the_kernels(tmp_path: Path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: AMD EPYC 9654 96-Core Processor\n")
    assert find_cpu_model(cpuinfo) == "AMD EPYC 9654 96-Core Processor"


def test_a_cpu_without_a_name_is_called_by_its_architecture(tmp_path: Path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nBogoMIPS\t: 2000.00\n")
    assert find_cpu_model(cpuinfo)
    assert find_cpu_model(tmp_path / "missing") == find_cpu_model(cpuinfo)


def test_this_machine_has_cpus_and_memory_in_use():
    assert 1 <= count_cpus() <= (os.cpu_count() or 1)
    assert measure_memory_used_bytes() > 0
    assert measure_memory_bytes() > 0
    assert 0 < read_cpu_time().busy <= read_cpu_time().total


@pytest.mark.parametrize(
    ("before", "after", "percent"),
    [
        (CpuTime(10, 100), CpuTime(35, 200), 25.0),
        (CpuTime(10, 100), CpuTime(10, 100), None),
        (CpuTime(10, 100), CpuTime(9, 110), 0.0),
        (CpuTime(10, 100), CpuTime(30, 110), 100.0),
    ],
)
def test_a_percentage_is_of_the_time_that_passed(before: CpuTime, after: CpuTime, percent: float | None):
    assert compute_cpu_percent(before, after) == percent


# --- control groups


def make_group(mount: Path, path: str, **limits: str) -> None:
    folder = mount / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in limits.items():
        (folder / name.replace("_", ".")).write_text(text + "\n")


def test_the_smallest_limit_on_the_way_up_binds(tmp_path: Path):
    mount, membership = tmp_path / "cgroup", tmp_path / "membership"
    make_group(mount, "a/b/c", cpu_max="max 100000", memory_max="max")
    make_group(mount, "a/b", cpu_max="250000 100000", memory_max="4096")
    make_group(mount, "a", cpu_max="800000 100000", memory_max="8192")
    membership.write_text("1:name=systemd:/x\n0::/a/b/c\n")
    assert limit_cpus(mount, membership) == 3
    assert limit_memory(mount, membership) == 4096


def test_in_a_container_the_mount_itself_is_our_group(tmp_path: Path):
    membership = tmp_path / "membership"
    make_group(tmp_path / "cgroup", "", cpu_max="5000 100000", memory_max="1024")
    membership.write_text("0::/\n")
    assert limit_cpus(tmp_path / "cgroup", membership) == 1
    assert limit_memory(tmp_path / "cgroup", membership) == 1024


@pytest.mark.parametrize("membership", ["", "4:memory:/v1\n", "0::/gone\n", "0::/../../etc\n"])
def test_without_a_limit_there_is_none(tmp_path: Path, membership: str):
    (tmp_path / "membership").write_text(membership)
    make_group(tmp_path / "cgroup", "", cpu_max="nonsense", memory_max="max")
    assert limit_cpus(tmp_path / "cgroup", tmp_path / "membership") is None
    assert limit_memory(tmp_path / "cgroup", tmp_path / "membership") is None
    assert limit_memory(tmp_path / "no", tmp_path / "nothing") is None


# --- disks


def test_each_file_system_is_listed_once_and_the_root_first():
    disks = list_disks(Path("/"))
    assert disks[0].path == "/"
    devices = [Path(disk.path).stat().st_dev for disk in disks]
    assert len(set(devices)) == len(devices)
    assert all(0 <= disk.free_bytes <= disk.total_bytes for disk in disks)


def test_the_disk_of_a_work_folder_that_is_not_made_yet_is_known(tmp_path: Path):
    folder = tmp_path / "not" / "yet"
    assert tmp_path.stat().st_dev in {Path(disk.path).stat().st_dev for disk in list_disks(folder)}
    assert measure_free_bytes(folder) > 0
