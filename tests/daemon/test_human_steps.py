"""A job that waits for a person: the daemon does not end it meanwhile, and brings the answer for as long as it takes."""

import asyncio
import os
from pathlib import Path

import pytest
from support.daemon_process import wait_until
from support.jobs import make_settings, read_report, script, start_job, uses, write_action

from agent.daemon import enforcing, escalation
from agent.daemon.enforcing import Enforcer
from agent.daemon.executor import LocalExecutor
from agent.daemon.job import DaemonJob, DaemonJobState, JobLimits
from agent.job.launch.burial import read_result
from agent.job.launch.launcher import ForkServer, JobFolder, answer_step, read_pause
from agent.journal.format import FormAsked
from agent.spec.outcome import Conclusion, FailureKind

LOOK = "runs:\n  using: human\n  form: {properties: {good: {type: integer}}}\n"
SECONDS = 0.5


def asked(folder: JobFolder) -> list[FormAsked]:
    return [record for record in read_report(folder).records if isinstance(record, FormAsked)]


async def wait_for_end(folder: JobFolder, pid: int) -> Conclusion:
    await asyncio.to_thread(os.waitpid, pid, 0)
    result = read_result(folder.journal)
    assert result is not None
    return result.conclusion


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[DaemonJob, int]:
    """A running job that asks, and half a second to do all of its work in."""
    monkeypatch.setattr(escalation, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(enforcing, "_PAUSE_SECONDS", 0.05)
    write_action(tmp_path / "ws", "look", LOOK)
    folder, pid = start_job(
        tmp_path,
        uses("look", "./look"),
        script("waits", f"until [ -e {tmp_path}/go ]; do sleep 0.02; done"),
        settings={"workspace": tmp_path / "ws"},
    )
    return DaemonJob(folder, DaemonJobState.RUNNING, JobLimits(SECONDS)), pid


async def test_the_deadline_is_later_by_as_long_as_it_has_waited(
    job: tuple[DaemonJob, int], tmp_path: Path
) -> None:
    daemon_job, pid = job
    folder = daemon_job.folder
    await wait_until(lambda: asked(folder))
    Enforcer(lambda: None, LocalExecutor(ForkServer(), make_settings(tmp_path))).set_deadline(daemon_job)
    await wait_until(lambda: read_pause(folder)[1] > 3 * SECONDS)
    assert read_result(folder.journal) is None
    assert answer_step(folder, asked(folder)[0].step, "ada", {"good": 1}) == ""
    (tmp_path / "go").touch()
    assert await wait_for_end(folder, pid) is Conclusion.SUCCESS
    daemon_job.note_end()


async def test_a_job_that_goes_on_too_long_after_its_answer_is_ended(
    job: tuple[DaemonJob, int], tmp_path: Path
) -> None:
    daemon_job, pid = job
    folder = daemon_job.folder
    await wait_until(lambda: asked(folder))
    enforcer = Enforcer(lambda: None, LocalExecutor(ForkServer(), make_settings(tmp_path)))
    enforcer.set_deadline(daemon_job)
    assert answer_step(folder, asked(folder)[0].step, "ada", {"good": 1}) == ""
    await asyncio.to_thread(os.waitpid, pid, 0)
    await wait_until(lambda: daemon_job.fate)
    daemon_job.note_end()
    assert daemon_job.fate is not None
    assert daemon_job.fate.kind is FailureKind.TIMEOUT
