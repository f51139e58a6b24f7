"""A job that does something to its own folder, or leaves what can't be removed, ends itself: never the daemon or another job."""

import io
import os
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.daemon_process import daemon_process, wait_until
from support.fake_server import FakeServer, job_folders
from support.rights import without_override

from agent.cli.machine.status import run_status
from agent.config import load_settings
from agent.daemon.state import StateFolder
from agent.ids import ENTROPY_BYTES, make_id
from agent.job.launch.burial import end_attempt
from agent.job.launch.launcher import list_job_folders
from agent.spec.outcome import Conclusion, FailureKind

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(240)]

# What a job does to its folder, and a word of the sentence that it ends with.
DEEDS = {
    "lock fifo": ("mkfifo x; mv -fT x lock", "'lock' is a FIFO"),
    "lock folder": ("rm lock; mkdir lock", "'lock' is a folder|'lock' is gone"),
    "lock link": ("ln -s /etc/passwd x; mv -fT x lock", "'lock' is a link"),
    "lock gone": ("rm lock", "'lock' is gone"),
    "lock another": ("touch x; mv -fT x lock", "'lock' was replaced"),
    "lock rights": ("chmod 0 lock", "'lock' can't be opened: Permission denied"),
    "journal fifo": ("mkfifo x; mv -fT x journal", "'journal' is a FIFO"),
    "journal folder": ("rm journal; mkdir journal", "'journal' is a folder|'journal' can't be reached"),
    "journal link": ("ln journal j; ln -s j x; mv -fT x journal", "'journal' is a link"),
    "journal another": ("cp journal j; mv j journal", "'journal' was replaced"),
    "journal cut": (": > journal", "'journal' has less than the server has"),
    "folder rights": ("chmod 0 .", "Permission denied"),
}
# What an adopting daemon finds, as well.
AWAY = {
    **{
        name: DEEDS[name]
        for name in ("lock fifo", "lock folder", "lock rights", "journal fifo", "journal link")
    },
    "journal gone and lock fifo": ("rm journal; mkfifo x; mv -fT x lock", "'lock' is a FIFO"),
    "specification fifo": ("rm spec.json; mkfifo spec.json", "'spec.json' is a FIFO"),
    "specification gone": ("rm spec.json", "spec.json"),
    "folder rights": DEEDS["folder rights"],
    "folder file": ("cd ..; rm -r $me; touch $me", "Not a directory"),
}


@pytest.fixture
async def state(tmp_path: Path, server: FakeServer) -> AsyncIterator[StateFolder]:
    """A registered agent's state. Jobs that a failed test left are killed."""
    folder = StateFolder(tmp_path / "state")
    server.register(folder, max_jobs=30)
    yield folder
    for job in list_job_folders(folder.jobs):
        end_attempt(job)


def new_job() -> str:
    return make_id("job", os.urandom(ENTROPY_BYTES))


def spoil(state: StateFolder, job: str, deed: str, gate: Path) -> str:
    """A script that does something to its job's folder once `gate` is there, and stays."""
    folder = shlex.quote(str(state.jobs / f"{job}-1"))
    wait = f"until [ -e '{gate}' ]; do sleep 0.05; done"
    return f"echo before; {wait}; cd {folder}; me={folder}; {deed}; touch '{gate}.{job}'; sleep 1000"


async def start_all(
    server: FakeServer, state: StateFolder, deeds, tmp_path: Path
) -> tuple[dict[str, str], str]:
    """A job for each deed, by its id, and a neighbour that waits for the file `go`."""
    jobs = {new_job(): name for name in deeds}
    for job, name in jobs.items():
        await server.assign(job, spoil(state, job, deeds[name][0], tmp_path / "gate"))
        await server.wait_for(lambda job=job: b"before" in server.lines(job))
    neighbour = new_job()
    await server.assign(
        neighbour, f"echo before; until [ -e '{tmp_path}/go' ]; do sleep 0.05; done; echo after"
    )
    await server.wait_for(lambda: b"before" in server.lines(neighbour))
    return jobs, neighbour


async def check_all(
    server: FakeServer, state: StateFolder, deeds, jobs, neighbour: str, tmp_path: Path
) -> None:
    found = {}
    for job, name in jobs.items():
        await server.wait_for(lambda job=job: server.result(job))
        result = server.result(job)
        is_told = any(words in result.message for words in deeds[name][1].split("|"))
        found[name] = (result.failure_kind, True if is_told else result.message)
    assert found == dict.fromkeys(deeds, (FailureKind.INFRASTRUCTURE, True))
    (tmp_path / "go").touch()
    await server.wait_for(lambda: server.result(neighbour))
    assert server.result(neighbour).conclusion is Conclusion.SUCCESS
    await wait_until(lambda: not job_folders(state))
    for job in jobs:
        assert processes_of(job) == []


def processes_of(job: str) -> list[str]:
    mark = f"RUNNER_TRACKING_ID=flow_{job}-1".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(process.name)
        except OSError:
            continue
    return found


async def test_a_folder_that_is_spoiled_buries_its_job_only(server, state, tmp_path):
    async with daemon_process(state, prefix=without_override()) as daemon:
        jobs, neighbour = await start_all(server, state, DEEDS, tmp_path)
        (tmp_path / "gate").touch()
        await check_all(server, state, DEEDS, jobs, neighbour, tmp_path)
        assert daemon.process.returncode is None
        assert "Traceback" not in daemon.log
        assert "tampered with" in daemon.log


async def test_a_folder_that_was_spoiled_while_the_daemon_was_away_buries_its_job_only(
    server, state, tmp_path
):
    async with daemon_process(state, prefix=without_override()) as daemon:
        jobs, neighbour = await start_all(server, state, AWAY, tmp_path)
        await daemon.kill()
    (tmp_path / "gate").touch()
    await wait_until(lambda: all((tmp_path / f"gate.{job}").exists() for job in jobs))
    async with daemon_process(state, prefix=without_override()) as daemon:
        await check_all(server, state, AWAY, jobs, neighbour, tmp_path)
        assert daemon.process.returncode is None
        assert "Traceback" not in daemon.log


async def test_what_a_spoiled_job_had_said_while_the_server_was_away_is_not_lost(server, state, tmp_path):
    job = new_job()
    async with daemon_process(state):
        deed = "echo last $((40 + 2)); until grep -q 'last 42' journal; do sleep 0.05; done; mkfifo x; mv -fT x journal"
        await server.assign(job, spoil(state, job, deed, tmp_path / "gate"))
        await server.wait_for(lambda: b"before" in server.lines(job))
        async with server.away():
            (tmp_path / "gate").touch()
            await wait_until((tmp_path / f"gate.{job}").exists)
        await server.wait_for(lambda: server.result(job))
        assert server.lines(job)[-1] == b"last 42"
        assert "'journal' is a FIFO" in server.result(job).message


async def test_a_job_that_left_a_thousand_nested_folders_ends_no_daemon(server, state, tmp_path):
    jobs = [new_job(), new_job()]
    nest = "import os\nfor n in range(1100): os.mkdir('d'); os.chdir('d')"
    async with daemon_process(state) as daemon:
        for job, place in zip(jobs, (".", "$RUNNER_TEMP"), strict=True):
            await server.assign(job, f'cd "{place}"; python3 -c "{nest}"; echo made')
            await server.wait_for(lambda job=job: server.result(job))
            assert server.lines(job)[-1] == b"made"
            assert server.result(job).conclusion is Conclusion.SUCCESS
        await wait_until(lambda: not job_folders(state))
        await wait_until(
            lambda: not [item for item in work_of(state).iterdir() if not item.name.startswith("_")]
        )
        assert daemon.process.returncode is None
        assert await daemon.leave(signal.SIGTERM) == 0
        assert "Traceback" not in daemon.log


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting is for root")
async def test_what_can_not_be_removed_is_set_aside_told_and_tried_again(
    server, state, tmp_path, monkeypatch
):
    job = new_job()
    place, mounted = tmp_path / "place", tmp_path / "mounted"
    mounted.mkdir()
    kept = mounted / "kept"
    kept.write_text("somebody's")
    async with daemon_process(state) as daemon:
        script = (
            f"mkdir a; mount --bind '{mounted}' a; realpath a > '{place}.new'; mv '{place}.new' '{place}'"
        )
        await server.assign(job, script)
        await wait_until(lambda: "were set aside" in daemon.log)
        await wait_until(lambda: not [item for item in job_folders(state) if not item.name.startswith(".")])
    (left,) = [item for item in work_of(state).iterdir() if item.name.startswith(".left-")]
    shown = io.StringIO()
    monkeypatch.setenv("AGENT_STATE", str(state.path))
    assert run_status(load_settings(), out=shown) == 1
    assert f"left over   1 of jobs that are gone can't be removed: sudo rm -rf {left}" in shown.getvalue()
    assert kept.exists()
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for item in (item for item in mounts if item.startswith(str(left))):
        subprocess.run(["umount", item], check=True)
    async with daemon_process(state):
        await server.wait_ready()
    assert not left.exists()


def work_of(state: StateFolder) -> Path:
    return state.path / "work"
