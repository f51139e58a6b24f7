"""The front door: folders, launching, cancelling, burying."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.jobs import finish_job, make_settings, make_spec, read_report, run_job, script, start_job

from agent import codec
from agent.errors import AgentError, UsageError
from agent.job.folder.settings import JobSettings
from agent.job.launch.burial import bury, has_last_word, read_result
from agent.job.launch.launcher import (
    ForkServer,
    JobFolder,
    ask_supervisor,
    create_job_folder,
    fork_supervisor,
    is_running,
    list_job_folders,
    open_job_folder,
    remove_job_folder,
    request_cancel,
)
from agent.seal.identity import create_identity
from agent.seal.secrets import seal
from agent.spec.job import UnknownWork
from agent.spec.outcome import Conclusion, FailureKind


def wait_for(condition: Callable[[], object]) -> None:
    """Return when `condition` holds; the test's own time-out is the limit."""
    while not condition():
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.fixture
def cancelled(tmp_path: Path) -> Iterator[list[int]]:
    """Process ids that must be gone when the test is over."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_settings_survive_their_json_form(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, labels=("a", "b"), identity_folder=tmp_path, debug=True)
    assert codec.parse(JobSettings, codec.dump(settings)) == settings
    assert codec.parse(JobSettings, codec.dump(JobSettings(tmp_path))).workspace is None


def test_a_job_folder_holds_what_it_was_made_of_and_is_made_once(tmp_path: Path) -> None:
    spec, settings = make_spec(script("a", "true")), make_settings(tmp_path)
    folder = create_job_folder(tmp_path / "jobs", spec, 7, settings, {"TOKEN": b"\x00sealed"})
    again = create_job_folder(tmp_path / "jobs", make_spec(), 7, settings, {})
    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.path.iterdir()} == {0o600}
    assert (folder.read_spec(), folder.read_settings()) == (spec, settings)
    assert folder.read_sealed() == {"TOKEN": b"\x00sealed"}
    assert again.path != folder.path
    assert (
        create_job_folder(tmp_path / "jobs", spec, 7, JobSettings(tmp_path), {}).read_settings() == settings
    )
    assert [item.lease for item in list_job_folders(tmp_path / "jobs")] == [7, 7]


def test_an_id_that_could_leave_the_folder_is_refused(tmp_path: Path) -> None:
    from dataclasses import replace

    from agent.ids import JobId

    with pytest.raises(UsageError):
        create_job_folder(tmp_path, replace(make_spec(), job=JobId("../job")), 1, make_settings(tmp_path), {})


def test_half_made_folders_are_not_listed_and_go_away(tmp_path: Path) -> None:
    (tmp_path / ".new-0123").mkdir()
    (tmp_path / ".old-4567" / "deep").mkdir(parents=True)
    (tmp_path / "job_x-1").mkdir()  # no spec.json: not ours to judge
    assert list_job_folders(tmp_path) == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["job_x-1"]
    assert list_job_folders(tmp_path / "none") == []


def test_a_job_folder_goes_with_its_workspace_and_follows_no_link(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("stay")
    report = run_job(
        tmp_path,
        script(
            "leaves",
            f"ln -s {precious} link; mkdir -p a/b; touch a/b/c; chmod 500 a/b a; ln -s {precious} $RUNNER_TEMP/../l",
        ),
    )
    workspace = tmp_path / "work" / report.folder.name
    assert workspace.is_dir()
    remove_job_folder(report.folder)
    remove_job_folder(report.folder)
    assert not workspace.exists()
    assert not report.folder.path.exists()
    assert (precious / "file").read_text() == "stay"


def test_a_supervisor_runs_from_the_moment_that_its_launch_returns(tmp_path: Path) -> None:
    folder, pid = start_job(tmp_path, script("waits", "until test -e go; do sleep 0.01; done"))
    assert is_running(folder)
    with pytest.raises(AgentError, match="already running"):
        fork_supervisor(folder, {})
    with pytest.raises(AgentError, match="still running"):
        bury(folder, FailureKind.LOST, "no")
    workspace = tmp_path / "work" / folder.name / "work" / "work"
    wait_for(workspace.is_dir)
    (workspace / "go").touch()
    assert finish_job(folder, pid).conclusion is Conclusion.SUCCESS
    assert not is_running(folder)
    assert request_cancel(folder, "too late") is False
    assert folder.control.exists() is False


def test_no_attempt_runs_twice(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("a", "true"))
    with pytest.raises(AgentError, match="started before"):
        fork_supervisor(report.folder, {})
    assert read_result(report.folder.journal) == report.result


def test_the_control_socket_answers_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    folder, pid = start_job(tmp_path, script("slow", "sleep 60"))
    assert folder.control.stat().st_mode & 0o777 == 0o600
    assert ask_supervisor(folder, {"kind": "ping"}) == {"ok": True, "pid": pid}
    assert ask_supervisor(folder, {"kind": "dance"}) == {"ok": False, "error": "unknown kind 'dance'"}
    assert ask_supervisor(folder, {}) == {"ok": False, "error": "a request is a JSON object with a kind"}
    assert request_cancel(folder, "")
    assert finish_job(folder, pid).result.message == "the job was cancelled"


def test_a_cancellation_that_comes_before_the_first_step_is_not_lost(tmp_path: Path) -> None:
    folder, pid = start_job(
        tmp_path, script("slow", "sleep 60"), script("after", "echo ${{ job.status }}", condition="always()")
    )
    assert request_cancel(folder, "nobody needs it") is True
    report = finish_job(folder, pid)
    assert report.conclusion is Conclusion.CANCELLED
    assert (report.result.failure_kind, report.result.message) == (FailureKind.CANCELLED, "nobody needs it")
    assert report.own_steps()["slow"] in ("cancelled", "skipped")


def test_cancelling_ends_the_whole_tree_daemons_too(tmp_path: Path, cancelled: list[int]) -> None:
    pids = tmp_path / "pids"
    daemon = f"setsid bash -c 'trap \"\" INT TERM HUP; echo $$ >> {pids}; while :; do sleep 1; done' >/dev/null 2>&1 &"
    folder, pid = start_job(
        tmp_path,
        script(
            "trains",
            f"trap '' INT TERM\n(setsid bash -c \"{daemon.replace(chr(34), chr(92) + chr(34)).replace('$', chr(92) + '$')}\" &)\n"
            f"echo $$ >> {pids}\nwhile :; do sleep 1; done",
        ),
        script(
            "cleans",
            # One that is dead and waits for its parent's look is not alive.
            f"for p in $(cat {pids}); do grep -q '^State:.[^ZX]' /proc/$p/status 2>/dev/null && echo lives; done; true",
            condition="cancelled()",
        ),
    )
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    cancelled += map(int, pids.read_text().split())
    assert request_cancel(folder, "enough")
    assert request_cancel(folder, "enough")
    report = finish_job(folder, pid)
    assert report.own_steps() == {"trains": "cancelled", "cleans": "success"}
    assert report.output_of("cleans") == []
    assert [number for number in cancelled if is_alive(number)] == []


def test_a_process_that_heeds_sigint_ends_by_it(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    code = f"import pathlib,time\ntry:\n  pathlib.Path('{ready}').touch()\n  time.sleep(60)\nexcept KeyboardInterrupt:\n  print('saved', flush=True)"
    folder, pid = start_job(
        tmp_path, script("trains", code, shell="python"), settings={"interrupt_seconds": 60.0}
    )
    wait_for(ready.exists)
    request_cancel(folder, "enough")
    report = finish_job(folder, pid)
    assert "saved" in report.output_of("trains")
    assert report.own_steps() == {"trains": "cancelled"}


def test_a_running_step_whose_if_still_holds_goes_on_when_the_job_is_cancelled(tmp_path: Path) -> None:
    ready, go = tmp_path / "ready", tmp_path / "go"
    folder, pid = start_job(
        tmp_path,
        script(
            "always",
            f"touch {ready}; until test -e {go}; do sleep 0.01; done; echo whole",
            condition="always()",
        ),
    )
    wait_for(ready.exists)
    request_cancel(folder, "enough")
    go.touch()
    report = finish_job(folder, pid)
    assert report.output_of("always") == ["whole"]
    assert report.conclusion is Conclusion.CANCELLED


def test_what_a_step_leaves_behind_ends_with_the_job(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    report = run_job(tmp_path, script("leaves", f"(setsid sleep 600 >/dev/null 2>&1 & echo $! > {pids})"))
    assert report.conclusion is Conclusion.SUCCESS
    assert not is_alive(int(pids.read_text()))
    assert "Terminated 1 orphan process" in report.log("__complete")


def test_a_killed_supervisor_is_buried_once_and_its_processes_with_it(
    tmp_path: Path, cancelled: list[int]
) -> None:
    pids = tmp_path / "pids"
    folder, pid = start_job(tmp_path, script("trains", f"echo begun; echo $$ > {pids}; exec sleep 600"))
    wait_for(lambda: pids.exists() and pids.read_text().strip())
    cancelled.append(int(pids.read_text()))
    wait_for(lambda: b"begun" in folder.journal.read_bytes())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not is_running(folder)
    with folder.journal.open("ab") as journal:
        journal.write(b"\x40\x00\x00\x00\x02torn")
    bury(folder, FailureKind.LOST, "the supervisor died")
    size = folder.journal.stat().st_size
    bury(folder, FailureKind.GPU, "again")
    assert folder.journal.stat().st_size == size
    report = read_report(folder)
    assert report.own_steps() == {"trains": "failure"}
    assert (report.result.failure_kind, report.result.message) == (FailureKind.LOST, "the supervisor died")
    wait_for(lambda: not is_alive(cancelled[0]))


def test_a_job_that_was_never_started_can_be_buried(tmp_path: Path) -> None:
    folder = create_job_folder(tmp_path, make_spec(), 3, make_settings(tmp_path), {})
    bury(folder, FailureKind.INFRASTRUCTURE, "no fork server")
    report = read_report(folder)
    assert [type(record).__name__ for record in report.records] == ["Opened", "Closed"]
    assert report.result.failure_kind is FailureKind.INFRASTRUCTURE


def test_settings_of_another_form_end_the_job_with_their_place(tmp_path: Path) -> None:
    folder = create_job_folder(tmp_path, make_spec(script("a", "true")), 1, make_settings(tmp_path), {})
    file = folder.path / "settings.json"
    file.write_text(file.read_text().replace('"environment":{', '"environment":3,"x":{'))
    os.waitpid(fork_supervisor(folder, {}), 0)
    result = read_report(folder).result
    assert result.failure_kind is FailureKind.INFRASTRUCTURE
    assert "expected an object, found int" in result.message
    assert "settings.json.environment" in result.message


def test_work_of_an_unknown_form_ends_the_job_as_the_infrastructures_with_a_sentence(tmp_path: Path) -> None:
    spec = replace(make_spec(), work=UnknownWork({"kind": "dance"}))
    folder = create_job_folder(tmp_path, spec, 1, make_settings(tmp_path), {})
    os.waitpid(fork_supervisor(folder, {}), 0)
    result = read_report(folder).result
    assert (result.conclusion, result.failure_kind) == (Conclusion.FAILURE, FailureKind.INFRASTRUCTURE)
    assert result.message == (
        "this job can't be run: its work is 'dance', which this version of the agent does not know; upgrade the agent"
    )


def test_a_bug_of_ours_still_closes_the_journal(tmp_path: Path) -> None:
    settings = replace(make_settings(tmp_path), work_folder=Path("/\0"))  # nobody looks for that
    folder = create_job_folder(tmp_path, make_spec(script("a", "true")), 1, settings, {})
    pid = fork_supervisor(folder, {})
    os.waitpid(pid, 0)
    report = read_report(folder)
    result = report.result
    assert report.steps()["__set_up"].conclusion is Conclusion.FAILURE
    assert result.failure_kind is FailureKind.INFRASTRUCTURE
    assert result.message.startswith("a bug in the agent ended this job")
    assert "Traceback" in folder.crash_log.read_text()


def test_sealed_secrets_are_opened_with_the_agents_key(tmp_path: Path) -> None:
    identity = create_identity()
    identity.save(tmp_path / "identity")
    spec = make_spec(
        script(
            "reads",
            "echo ${{ secrets.WORD }} ${#W} ${#T}",
            env={"W": "${{ secrets.WORD }}", "T": "${{ github.token }}"},
        ),
        secrets=("WORD",),
    )
    sealed = {
        name: seal(identity.public, value.encode(), job_id=spec.job, lease=2, name=name)
        for name, value in {"WORD": "open sesame", "ACTIONS_RUNTIME_TOKEN": "a.b.c.d.e"}.items()
    }
    settings = make_settings(tmp_path, identity_folder=tmp_path / "identity", server_url="http://127.0.0.1:9")
    folder = create_job_folder(tmp_path / "jobs", spec, 2, settings, sealed)
    report = finish_job(folder, fork_supervisor(folder))
    assert report.output_of("reads") == ["*** 11 9"]


async def test_a_fork_server_launches_supervisors_that_outlive_it(tmp_path: Path) -> None:
    server = ForkServer()
    await server.start()
    folder = create_job_folder(
        tmp_path / "jobs",
        make_spec(script("waits", "until test -e go; do sleep 0.01; done; echo on")),
        1,
        make_settings(tmp_path),
        {},
    )
    pid = await server.launch(folder)
    assert is_running(folder)
    await asyncio.to_thread(wait_for, lambda: os.getsid(pid) == pid)
    with pytest.raises(AgentError, match="already running"):
        await server.launch(folder)
    await server.close()
    workspace = tmp_path / "work" / folder.name / "work" / "work"
    await asyncio.to_thread(wait_for, workspace.is_dir)
    (workspace / "go").touch()
    await asyncio.to_thread(wait_for, lambda: not is_running(folder))
    assert read_report(folder).output_of("waits") == ["on"]


async def test_a_fork_server_that_died_is_started_again(tmp_path: Path) -> None:
    server = ForkServer()
    await server.start()
    first = server._process
    first.kill()
    first.wait()
    folder = create_job_folder(tmp_path, make_spec(script("a", "true")), 1, make_settings(tmp_path), {})
    await server.launch(folder)
    await asyncio.to_thread(wait_for, lambda: read_result(folder.journal))
    with pytest.raises(AgentError, match="no such job folder"):
        await server.launch(JobFolder(tmp_path / "none-1", "none", 1))
    await server.close()


def test_a_fork_server_whose_daemon_dies_in_the_middle_of_a_launch_ends_without_a_word(
    tmp_path: Path,
) -> None:
    folder = create_job_folder(
        tmp_path / "jobs", make_spec(script("a", "echo on")), 1, make_settings(tmp_path), {}
    )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        command = [sys.executable, "-P", "-m", "agent.job.launch.forkserver", str(theirs.fileno())]
        server = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
        ours.sendall(json.dumps({"folder": str(folder.path)}).encode())
    _, said = server.communicate()
    assert (server.returncode, said) == (0, "")
    wait_for(lambda: read_result(folder.journal))
    assert read_report(folder).output_of("a") == ["on"]


async def test_a_job_of_scripts_finds_all_that_it_needs_imported(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv(
        "PYTHONPROFILEIMPORTTIME", "1"
    )  # tells of each import on stderr: a supervisor's crash log
    identity = create_identity()
    identity.save(tmp_path / "identity")
    spec = make_spec(script("a", "echo on"))
    sealed = {"TOKEN": seal(identity.public, b"sesame", job_id=spec.job, lease=1, name="TOKEN")}
    settings = make_settings(tmp_path, identity_folder=tmp_path / "identity")
    folder = create_job_folder(tmp_path / "jobs", spec, 1, settings, sealed)
    server = ForkServer()
    await server.launch(folder)
    await asyncio.to_thread(wait_for, lambda: not is_running(folder))
    await server.close()
    assert folder.crash_log.read_text().strip() == ""
    assert read_report(folder).output_of("a") == ["on"]


def test_a_journal_that_is_damaged_before_its_end_has_no_last_word(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("a", "true"))
    assert has_last_word(report.folder)
    with report.folder.journal.open("r+b") as journal:
        journal.seek(20)
        journal.write(b"\xff")
    assert not has_last_word(report.folder)


def test_a_name_that_is_no_job_is_no_job_folder(tmp_path: Path) -> None:
    assert open_job_folder(tmp_path / "job_x-0") is None
    assert open_job_folder(tmp_path / "job_x-1") is None
