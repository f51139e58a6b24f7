"""agent/daemon/endings.py: the end of a supervisor is told by the kernel, or its lock has to be looked at."""

import asyncio
import os
from pathlib import Path

from support.jobs import run_job, script, start_job

from agent.daemon.endings import Endings
from agent.job.launch.launcher import is_running, request_cancel


async def test_the_end_of_a_supervisor_is_told_at_once_and_its_lock_is_free_then(tmp_path: Path) -> None:
    folder, pid = start_job(tmp_path, script("waits", "sleep 600"))
    told = asyncio.Event()
    endings = Endings(told.set)
    endings.watch(folder, pid)
    assert endings.covers(folder)
    assert not told.is_set()
    request_cancel(folder, "enough")
    await told.wait()
    assert not is_running(folder)
    assert not endings.covers(folder)
    os.waitpid(pid, 0)


async def test_who_has_ended_before_is_left_to_a_look_at_the_lock(tmp_path: Path) -> None:
    folder, pid = start_job(tmp_path, script("a", "true"))
    os.waitpid(pid, 0)
    endings = Endings(lambda: None)
    endings.watch(folder, pid)
    assert not endings.covers(folder)


async def test_a_process_that_got_the_number_of_an_ended_supervisor_is_not_watched(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("a", "true"))
    endings = Endings(lambda: None)
    endings.watch(report.folder, os.getpid())
    assert not endings.covers(report.folder)
