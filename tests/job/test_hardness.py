"""What a job may do to its supervisor, and what must come of it all the same."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest
from support.jobs import finish_job, make_settings, make_spec, run_job, script

from agent.daemon.causes import Clues, explain_death
from agent.job.launch.launcher import create_job_folder, fork_supervisor
from agent.spec.outcome import Conclusion, FailureKind


def test_a_step_with_a_huge_name_and_huge_outputs_is_recorded(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("a", 'printf "a=%0*d\\n" 3000000 1 >> "$GITHUB_OUTPUT"', name="x" * 3_000_000),
        script("b", "echo ${#A}", env={"A": "${{ startsWith(steps.a.outputs.a, '000') }}"}),
        outputs={"a": "${{ steps.a.outputs.a }}"},
    )
    assert report.output_of("b") == ["4"]
    assert report.steps()["a"].outputs == {}
    assert report.result.message == "The outputs of the job are more than 1 MB together"


@pytest.mark.parametrize("secrets", [{}, {"WORD": "half a pair: \ud800"}])
def test_text_that_utf8_cannot_say_does_no_harm(tmp_path: Path, secrets: dict[str, str]) -> None:
    report = run_job(
        tmp_path,
        script(
            "odd",
            "printf '\\377\\376 ::error::\\377\\n'; echo '${{ fromJSON('\"\\ud800\"') }}'",
            name="\ud800",
        ),
        script("env", "true", env={"A": "\ud800"}, continue_on_error=True),
        script("nul", "true", env={"A": "a\0b"}, continue_on_error=True),
        outputs={"o": "${{ fromJSON('\"\\ud800\"') }}"},
        secrets=secrets,
    )
    assert report.conclusion is Conclusion.SUCCESS
    assert report.steps()["odd"].name == "?"
    assert report.result.outputs == {"o": "?"}


def test_a_line_of_many_megabytes_comes_through_whole(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("long", "head -c 9000000 /dev/zero | tr '\\0' x; echo"))
    assert len(report.output_of("long")[0]) == 9_000_000


def test_output_of_children_that_outlive_the_shell_is_kept(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("tees", "exec > >(sleep 0.2; cat)\necho late"))
    assert report.output_of("tees") == ["late"]


def test_a_step_inherits_no_file_of_its_supervisor(tmp_path: Path) -> None:
    code = "import os\nfor n in range(3, 99):\n  if os.path.exists(f'/proc/self/fd/{n}'): print(os.readlink(f'/proc/self/fd/{n}'))"
    report = run_job(tmp_path, script("looks", code, shell="python"))
    assert [line for line in report.output_of("looks") if not line.endswith(".py")] == []


def test_a_step_that_kills_its_supervisor_is_not_a_success(tmp_path: Path) -> None:
    folder = create_job_folder(
        tmp_path / "jobs", make_spec(script("kills", "kill -9 $PPID")), 1, make_settings(tmp_path), {}
    )
    pid = fork_supervisor(folder, {})
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9


def test_secrets_are_on_no_command_line(tmp_path: Path) -> None:
    code = """
import os, pathlib
for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    try:
        if os.environ["A"].encode() in file.read_bytes():
            print("leaked", file)
    except OSError:
        pass
print("looked")
"""
    report = run_job(
        tmp_path,
        script("looks", code, shell="python", env={"A": "${{ secrets.A }}"}),
        secrets={"A": token_hex(16)},
    )
    assert report.output_of("looks") == ["looked"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield disk
    with contextlib.suppress(OSError):
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_is_an_error_that_the_job_reports(tmp_path: Path, small_disk: Path) -> None:
    spec = make_spec(script("floods", "head -c 9000000 /dev/zero | tr '\\0' x; sleep 60"))
    folder = create_job_folder(small_disk, spec, 1, make_settings(tmp_path), {})
    report = finish_job(folder, fork_supervisor(folder, {}))
    assert report.result.failure_kind is FailureKind.INFRASTRUCTURE
    assert "the disk is full" in report.result.message
    assert report.conclusion is Conclusion.FAILURE


def test_a_supervisor_that_a_full_disk_ends_is_told_of_as_what_it_is(
    tmp_path: Path, small_disk: Path
) -> None:
    spec = make_spec(script("floods", "head -c 9000000 /dev/zero | tr '\\0' x"))
    folder = create_job_folder(small_disk, spec, 1, make_settings(tmp_path), {})
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass
    pid = fork_supervisor(folder, {})
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0
    (small_disk / "filler").unlink()  # by the time that somebody looks there is room
    kind, message = explain_death(folder, Clues())
    assert kind is FailureKind.INFRASTRUCTURE
    assert f"the disk is full ({folder.journal})" in message
