"""A supervisor that does not answer, because it is stopped or spins, ends all the same, and all that it had started."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.daemon_process import daemon_process, wait_until
from support.fake_server import FakeServer, job_folders
from support.jobs import make_settings
from support.lab import PATIENCE_SECONDS
from support.wire import job_spec

from agent.daemon import escalation
from agent.daemon import jobs as daemon_jobs
from agent.daemon.executor import Launcher, LocalExecutor
from agent.daemon.job import DaemonJobState
from agent.daemon.jobs import JobTable
from agent.daemon.state import StateFolder
from agent.errors import RefusedError
from agent.ids import ENTROPY_BYTES, make_id
from agent.job.launch.burial import end_attempt, read_result
from agent.job.launch.launcher import ForkServer, JobFolder, list_job_folders
from agent.job.process.ending import find_supervisors
from agent.job.process.proc import is_alive
from agent.spec.outcome import Conclusion, FailureKind
from agent.wire import messages as m

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(200)]


class RefusingLauncher:
    """The machine has no room for another process."""

    async def launch(self, _folder: JobFolder) -> int:
        raise RefusedError("no more processes")


# It stops its own supervisor, again and again: SIGCONT is no way out. Who reads the file knows that it is stopped.
STOPS = (
    "echo $PPID $$ > '{0}'; (setsid sleep 1000 &); kill -STOP $PPID; mv '{0}' '{1}'; "
    "while :; do kill -STOP $PPID; sleep 0.02; done"
)


@pytest.fixture
async def state(tmp_path: Path, server: FakeServer) -> AsyncIterator[StateFolder]:
    """A registered agent's state. Jobs that a failed test left are killed."""
    folder = StateFolder(tmp_path / "state")
    server.register(folder, max_jobs=2)
    yield folder
    for job in list_job_folders(folder.jobs):
        end_attempt(job)


def make_table(folder: Path, launcher: Launcher) -> JobTable:
    settings = make_settings(folder)
    return JobTable(folder / "jobs", settings, LocalExecutor(launcher, settings))


def new_job() -> str:
    return make_id("job", os.urandom(ENTROPY_BYTES))


def stops(tmp_path: Path) -> str:
    return STOPS.format(tmp_path / "making", tmp_path / "pids")


async def read_pids(tmp_path: Path) -> list[int]:
    await wait_until((tmp_path / "pids").exists)
    return [int(pid) for pid in (tmp_path / "pids").read_text().split()]


async def check_cancelled(server: FakeServer, state: StateFolder, job: str, pids: list[int]) -> None:
    async with asyncio.timeout(120):
        await server.wait_for(lambda: server.result(job))
    result = server.result(job)
    assert (result.conclusion, result.failure_kind) == (Conclusion.CANCELLED, FailureKind.CANCELLED)
    # SIGTERM may meet it in a moment in which it runs: then it has the last word.
    assert result.message.startswith(("by ada", "the supervisor was told to end"))
    assert not [pid for pid in pids if is_alive(pid)]
    await wait_until(lambda: not job_folders(state))


async def test_a_stopped_supervisor_is_cancelled_and_nothing_of_its_job_lives_on(server, state, tmp_path):
    job = new_job()
    async with daemon_process(state) as daemon:
        await server.assign(job, stops(tmp_path))
        pids = await read_pids(tmp_path)
        await server.say("cancel", job, 1, "by ada")
        await check_cancelled(server, state, job, pids)
        assert "does not answer; it was sent SIGTERM" in daemon.log
        assert "Traceback" not in daemon.log


async def test_a_supervisor_that_was_stopped_before_the_daemon_came_is_cancelled_too(server, state, tmp_path):
    job = new_job()
    async with daemon_process(state) as daemon:
        await server.assign(job, stops(tmp_path))
        pids = await read_pids(tmp_path)
        await daemon.kill()
    async with daemon_process(state):
        await server.wait_ready()
        await server.say("cancel", job, 1, "by ada")
        await check_cancelled(server, state, job, pids)


async def test_a_supervisor_whose_socket_was_removed_is_told_by_a_signal(server, state, tmp_path):
    job = new_job()
    async with daemon_process(state):
        await server.assign(job, f"rm '{state.jobs}/{job}-1/control.sock'; echo before; exec sleep 1000")
        await server.wait_for(lambda: b"before" in server.lines(job))
        await server.say("cancel", job, 1, "by ada")
        await server.wait_for(lambda: server.result(job))
    assert server.result(job).conclusion is Conclusion.CANCELLED


async def test_a_stopped_supervisor_whose_job_was_given_away_dies_before_its_room_is_given_on(
    server, state, tmp_path
):
    job, other = new_job(), new_job()
    async with daemon_process(state):
        await server.assign(job, stops(tmp_path))
        pids = await read_pids(tmp_path)
        await server.assign(other, "sleep 1000")
        await server.say("revoke", job, 1, "given away")
        third = new_job()
        await server.assign(third, "true")
        await server.wait_for(lambda: server.count(m.Refuse))
        await wait_until(lambda: len(job_folders(state)) == 1, timeout_seconds=90)
        assert not [pid for pid in pids if is_alive(pid)]


async def test_a_job_whose_supervisor_keeps_no_time_ends_at_the_daemons_own_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr(escalation, "GRACE_SECONDS", 0.5)
    job = new_job()
    spec = replace(job_spec(job, stops(tmp_path)), timeout_minutes=0.02, cancel_timeout_minutes=0.01)
    launcher = ForkServer()
    jobs = make_table(tmp_path, launcher)
    watching = asyncio.create_task(jobs.watch())
    await jobs.store(m.Assign(job, 1, spec, {}))
    await jobs.start(job, 1)
    (held,) = jobs
    try:
        async with asyncio.timeout(60):
            await held.has_ended.wait()
        assert held.state is DaemonJobState.ENDED
        result = read_result(held.folder.journal)
        assert (result.conclusion, result.failure_kind) == (Conclusion.CANCELLED, FailureKind.TIMEOUT)
        assert "maximum execution time of 0.02 minutes" in result.message
        assert not find_supervisors(held.folder)
    finally:
        watching.cancel()
        end_attempt(held.folder)
        await launcher.close()


async def test_a_bug_at_one_job_costs_no_other_and_not_the_loop(tmp_path, monkeypatch):
    jobs = make_table(tmp_path, ForkServer())
    unlucky, lucky = new_job(), new_job()
    remove = jobs._remove

    async def stumble(job):
        if job.folder.job == unlucky:
            raise RecursionError("a bug")
        await remove(job)

    monkeypatch.setattr(jobs, "_remove", stumble)
    for job in (unlucky, lucky):
        await jobs.store(m.Assign(job, 1, job_spec(job, "true"), {}))
        await jobs.revoke(job, 1, "not ours")
    watching = asyncio.create_task(jobs.watch())
    await wait_until(lambda: not jobs.holds(lucky, 1) and len(tuple(jobs)) == 1)
    assert not watching.done()
    watching.cancel()


async def test_a_job_that_can_be_neither_started_nor_ended_ends_as_soon_as_that_is_possible(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(daemon_jobs, "_RETRY_SECONDS", 0.05)
    jobs = make_table(tmp_path, RefusingLauncher())
    end, failures = jobs._end, [OSError("the disk is full"), OSError("the disk is full")]

    async def stumble(job, explain):
        if failures:
            raise failures.pop()
        await end(job, explain)

    monkeypatch.setattr(jobs, "_end", stumble)
    job = new_job()
    await jobs.store(m.Assign(job, 1, job_spec(job, "true"), {}))
    watching = asyncio.create_task(jobs.watch())
    await jobs.start(job, 1)
    (held,) = jobs
    async with asyncio.timeout(PATIENCE_SECONDS):
        await held.has_ended.wait()
    assert held.state is DaemonJobState.ENDED
    assert "could not be started: no more processes" in read_result(held.folder.journal).message
    watching.cancel()


async def test_a_gpu_of_a_job_that_was_taken_away_is_nobodys_until_its_processes_are_dead(tmp_path):
    jobs = make_table(tmp_path, ForkServer())
    job = new_job()
    await jobs.store(m.Assign(job, 1, job_spec(job, "true"), {}, gpus=("GPU-1", "GPU-2")))
    assert jobs.list_occupied(["GPU-1"]) == []  # the server knows
    await jobs.revoke(job, 1, "not ours")
    assert jobs.list_occupied(["GPU-2", "GPU-3"]) == ["GPU-2"]
    watching = asyncio.create_task(jobs.watch())
    await wait_until(lambda: not tuple(jobs))
    assert jobs.list_occupied(["GPU-2"]) == []
    watching.cancel()
