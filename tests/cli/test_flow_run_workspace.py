"""`agent flow run`: what is in the copy that a job works in, and what becomes of it when its run is ended from outside."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.git import make_repository
from support.lab import Done, command_line, run_agent, wait_for
from support.small_disk import SmallDisk, small_disk, why_no_small_disks

from agent.cli.local_run.workspace_copy import plan_copy

LIST = "git status --short; find . -name .git -prune -o -print | sort"


def run(folder: Path, script: str, *options: str, **environment: str) -> Done:
    flow = folder.parent / "flow.yml"
    flow.write_text(f"on: push\njobs:\n  a:\n    runs-on: x\n    steps: [{{run: '{script}'}}]\n")
    state = {"AGENT_STATE": str(folder.parent / "state"), "TMPDIR": str(folder.parent)}
    words = ("flow", "run", flow, "--format", "json", *options)
    return run_agent(*words, cwd=folder, environment={**state, **environment})


def lines(done: Done) -> list[str]:
    return [record["text"] for record in done.records() if record["kind"] == "log"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository in which git ignores nearly everything that it has."""
    rules = "data/\n*.log\n/model.bin\n"
    repository = make_repository(
        tmp_path / "project", {".gitignore": rules, "data/tracked.csv": "1", "kept.log": "1", "a.py": "1"}
    )
    folder = repository.folder
    files = ("data/huge.bin", "data/deep/er.bin", "model.bin", "b.log", "new.py", "lib/model.bin")
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    (folder / "out").mkdir()
    return folder


def test_what_git_ignores_stays_out_of_the_copy_and_all_else_is_in_it(project: Path) -> None:
    done = run(project, LIST)
    listed = [line for line in lines(done) if line.startswith(("./", "??"))]
    assert [line for line in listed if line.startswith("??")] == ["?? lib/", "?? new.py"]
    there = {line[2:] for line in listed if line.startswith("./")}
    files = {".gitignore", "data/tracked.csv", "kept.log", "a.py", "new.py", "lib/model.bin"}
    assert there == {*files, "data", "lib", "out"}
    assert done.code == 0, done.out


def test_with_ignored_brings_it_all(project: Path) -> None:
    done = run(project, "cat data/huge.bin data/deep/er.bin model.bin b.log", "--with-ignored")
    assert done.code == 0, done.out
    assert "xxxx" in lines(done)


def test_a_run_that_fails_says_what_its_copies_lacked(project: Path) -> None:
    done = run(project, "cat model.bin")
    (warning,) = (record["message"] for record in done.records() if record["kind"] == "warning")
    assert "lack what git ignores (b.log, data/deep, data/huge.bin and 1 more); --with-ignored" in warning
    assert [record for record in run(project, "exit 0").records() if record["kind"] == "warning"] == []


def test_a_folder_outside_of_git_is_copied_whole(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    (folder / "data").mkdir(parents=True)
    (folder / ".gitignore").write_text("*")
    (folder / "data" / "a").write_text("there")
    assert "there" in lines(run(folder, "cat data/a"))


def test_the_agents_own_folders_are_no_part_of_a_copy(tmp_path: Path) -> None:
    """Jobs come and go in them while others are copied."""
    folder = tmp_path / "plain"
    (folder / "state").mkdir(parents=True)
    (folder / "mine").touch()
    done = run(folder, "ls", AGENT_STATE=str(folder / "state"))
    assert done.code == 0, done.out
    assert [line for line in lines(done) if line in ("state", "mine")] == ["mine"]


def test_folders_may_lie_in_one_another_deeper_than_calls_may(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    for depth in range(1, 1101):
        (folder / "/".join(["d"] * depth)).mkdir()
    try:
        assert len(plan_copy(folder).folders) == 1100
    finally:
        subprocess.run(["rm", "-rf", folder], check=True)


def test_submodules_and_other_clones_are_asked_by_themselves(project: Path) -> None:
    rules = {".gitignore": "cache\n", "b.log": "in here it is not ignored"}
    part = make_repository(project.parent / "part", rules)
    git = ["git", "-c", "protocol.file.allow=always", "-C", project]
    subprocess.run([*git, "submodule", "--quiet", "add", part.url, "part"], check=True)
    subprocess.run([*git, "clone", "--quiet", part.url, "other"], check=True)
    for name in ("part", "other"):
        (project / name / "cache").write_text("x" * 1000)
        (project / name / "mine").write_text("x")
    done = run(project, "ls part other; git -C part status --short; git -C part rev-parse --show-toplevel")
    said = lines(done)
    assert (said.count("b.log"), said.count("mine"), said.count("cache"), said.count("?? mine")) == (
        2,
        2,
        0,
        1,
    )
    assert said[-2].endswith("/part") or any(
        line.endswith("/part") and not line.startswith(str(project)) for line in said
    )


def test_the_copy_of_a_linked_work_tree_is_a_repository_of_its_own(project: Path) -> None:
    tree = project.parent / "tree"
    subprocess.run(["git", "-C", project, "worktree", "add", "-q", "-b", "side", tree], check=True)
    before = subprocess.run(["git", "-C", project, "for-each-ref"], capture_output=True, check=True).stdout
    script = "git status --short; git branch --show-current; git checkout -q -b more; git branch -D main side; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x"
    done = run(tree, script)
    assert done.code == 0, done.out
    assert "side" in lines(done)
    after = subprocess.run(["git", "-C", project, "for-each-ref"], capture_output=True, check=True).stdout
    assert after == before


def test_modes_links_holes_and_times_are_as_they_were(project: Path) -> None:
    (project / "run.sh").write_text("echo ran")
    (project / "run.sh").chmod(0o755)
    os.utime(project / "run.sh", (1_000_000_000, 1_000_000_000))
    (project / "link").symlink_to("nowhere")
    os.mkfifo(project / "pipe")
    with (project / "holes").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"middle")
    (project / "closed").mkdir()
    (project / "closed" / "in").write_text("x")
    (project / "closed").chmod(0o555)
    done = run(
        project,
        "./run.sh; stat -c %Y run.sh; readlink link; test -p pipe; stat -c %s,%b holes; tail -c +536870913 holes | head -c 6; echo; stat -c %a closed",
    )
    assert done.code == 0, done.out
    said = lines(done)[-30:]
    assert {"ran", "1000000000", "nowhere", "middle", "555"} <= set(said)
    size, blocks = next(line for line in said if line.startswith("1073741824,")).split(",")
    assert int(size) > 1000 * int(blocks)


def start(folder: Path, script: str, *options: str) -> "subprocess.Popen[str]":
    flow = folder.parent / "flow.yml"
    flow.write_text(
        f"on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: {script}\n      - {{if: always(), run: touch {folder.parent}/tidied}}\n"
    )
    environment = {**os.environ, "AGENT_STATE": str(folder.parent / "state"), "TMPDIR": str(folder.parent)}
    words = command_line("flow", "run", flow, "--format", "json", *options)
    return subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def runs_in(folder: Path) -> list[Path]:
    return list(folder.glob("flow-run-*"))


def is_gone(pid: Path) -> bool:
    return not Path(f"/proc/{pid.read_text().strip()}").exists()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_run_that_is_told_to_end_cancels_its_jobs_and_leaves_nothing(project: Path, number: int) -> None:
    half = project.parent / "half"
    process = start(project, f"touch {half}; sleep 600")
    wait_for(half.exists, "the step")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err.startswith("agent: interrupted")) == (130, True)
    assert json.loads(out.splitlines()[-1])["conclusion"] == "cancelled"
    assert (project.parent / "tidied").exists()
    assert runs_in(project.parent) == []


def test_a_run_whose_terminal_is_closed_cancels_its_jobs_and_leaves_nothing(project: Path) -> None:
    half = project.parent / "half"
    flow = project.parent / "flow.yml"
    flow.write_text(
        f"on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: touch {half}; sleep 600\n      - {{if: always(), run: touch {project.parent}/tidied}}\n"
    )
    words = command_line("flow", "run", flow)
    state = {"AGENT_STATE": str(project.parent / "state"), "TMPDIR": str(project.parent), "TERM": "xterm"}
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project)
        os.execve(words[0], words, {**os.environ, **state})
    wait_for(half.exists, "the step")
    os.close(terminal)
    _pid, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    assert (project.parent / "tidied").exists()
    assert runs_in(project.parent) == []


def test_a_run_whose_reader_goes_leaves_nothing(project: Path) -> None:
    with start(project, "seq 100000; sleep 600") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(60)
    assert runs_in(project.parent) == []
    assert [path.name for path in (project.parent / "state" / "work").glob("job_*")] == []


def test_the_next_run_sweeps_what_a_killed_one_left_and_nothing_else(project: Path) -> None:
    half, pid = project.parent / "half", project.parent / "pid"
    killed = start(project, f"echo $$ > {pid}; touch {half}; sleep 600")
    wait_for(half.exists, "the step")
    (left,) = runs_in(project.parent)
    killed.kill()
    killed.communicate()
    wait_for((project.parent / "tidied").exists, "the job, ended with the run that started it")
    wait_for(lambda: is_gone(pid), "the step's process to be gone")
    kept = run(project, "exit 0", "--keep")
    folder = Path(next(r["message"] for r in kept.records() if r["kind"] == "warning").split()[-1])
    half.unlink()
    living = start(project, f"touch {half}; sleep 600")
    wait_for(half.exists, "the step")
    (strange := project.parent / "flow-run-strange").mkdir()
    before = set(runs_in(project.parent))
    wait_for(
        lambda: run(project, "exit 0").code == 0 and not left.exists(), "the killed run's folder to be swept"
    )
    assert set(runs_in(project.parent)) == before - {left}
    assert {folder, strange} <= before
    assert len(before - {left}) == 3, "the living one's too"
    living.terminate()
    living.communicate()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, SmallDisk]]:
    """A place of 300 KiB."""
    if reason := why_no_small_disks():
        pytest.skip(reason)
    with small_disk(tmp_path / "disk", 300 << 10) as made:
        yield tmp_path / "disk", made


def test_a_disk_that_is_too_small_for_the_copies_is_named_and_not_the_workspace(
    project: Path, disk: tuple[Path, SmallDisk]
) -> None:
    place, _ = disk
    (project / "large.bin").write_bytes(os.urandom(600_000))
    done = run(project, "true", TMPDIR=str(place))
    assert done.code == 1
    assert done.err == (
        f"agent: the workspace can't be copied: No space left on device ({place}); "
        "make room there, name another folder with TMPDIR, or work --in-place\n"
    )


def test_a_state_folder_without_room_is_named_by_the_job_that_needs_it(
    project: Path, disk: tuple[Path, SmallDisk]
) -> None:
    place, small = disk
    small.fill()
    done = run(project, "true", AGENT_STATE=str(place))
    (job,) = [record for record in done.records() if record["kind"] == "job"]
    assert job["message"].startswith(f"the system says no: No space left on device ({place}/work")
    assert job["message"].endswith("; make room there")


def test_a_command_that_finds_a_disk_full_says_which(project: Path, disk: tuple[Path, SmallDisk]) -> None:
    place, small = disk
    small.fill()
    (project.parent / "flow.yml").write_text(
        "workflows:\n- {name: a, provider: bash, artifacts: [o], commands: [x]}\n"
    )
    words = ("flow", "run", project.parent / "flow.yml", "--job", "a", "--dialect", "dstack")
    done = run_agent(*words, cwd=project, environment={"AGENT_STATE": str(place)})
    assert done.code == 1
    assert f"No space left on device ({place}" in done.err, done.err


def test_a_workspace_is_named_after_the_remote_and_without_one_after_its_folder(tmp_path: Path) -> None:
    folder = make_repository(tmp_path / "my project", {"a.py": "1"}).folder
    script = "basename $(dirname $PWD); basename $PWD; echo $GITHUB_REPOSITORY"
    assert lines(run(folder, script))[-3:-1] == ["my-project", "my-project"]
    assert lines(run(folder, script))[-1].startswith("local/")
    subprocess.run(
        ["git", "-C", folder, "remote", "add", "origin", "https://git.example/lab/nets.git"], check=True
    )
    assert lines(run(folder, script))[-3:] == ["nets", "nets", "lab/nets"]
