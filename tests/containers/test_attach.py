"""People attached to a job that runs in a container, by a real engine."""

import asyncio
import contextlib
import itertools
import os
import signal
from pathlib import Path

from support.docker import BUSYBOX, leftovers
from support.jobs import finish_job, script, start_job

from agent.job.attach.client import Attachment, Ended, Output
from agent.job.containers.sweeping import job_labels
from agent.job.launch.launcher import JobFolder

_numbers = itertools.count(1)
TERMINAL = {"rows": 30, "columns": 101, "kind": "vt100"}


async def open_session(folder: JobFolder, command: str, *, has_terminal: bool = False) -> Attachment:
    return await Attachment.open(
        folder,
        {
            "session": f"attach_{next(_numbers):020}",
            "user": "alice",
            "address": "10.0.0.7",
            "command": [command] if command else [],
            "terminal": TERMINAL if has_terminal else None,
        },
    )


async def read_until(attachment: Attachment, wanted: bytes) -> bytes:
    shown = b""
    async with asyncio.timeout(60):
        while wanted not in shown:
            said = await attachment.receive()
            assert isinstance(said, Output), (said, shown)
            shown += said.data
    return shown


async def finish(attachment: Attachment) -> tuple[dict[int, bytes], Ended]:
    shown = {1: b"", 2: b""}
    async with asyncio.timeout(60):
        while isinstance(said := await attachment.receive(), Output):
            shown[said.stream] += said.data
    attachment.close()
    return shown, said


async def test_a_session_is_in_the_jobs_container_and_leaves_nothing_there(
    tmp_path: Path, engine_address: str
) -> None:
    folder, pid = start_job(
        tmp_path,
        script("train", "echo MODEL=big >> $GITHUB_ENV"),
        script("wait", "touch here; until [ -e go ]; do sleep 0.05; done"),
        container=BUSYBOX,
        settings={"docker_host": engine_address},
    )
    try:
        workspace = folder.read_settings().work_folder / folder.name / "work" / "work"
        async with asyncio.timeout(60):
            while not (workspace / "here").exists():
                await asyncio.sleep(0.02)
        command = await open_session(folder, "cat; echo $MODEL $FROM_IMAGE; pwd; echo oops >&2; exit 3")
        await command.send(b"typed\n")
        await command.send(is_end=True)
        shown, ended = await finish(command)
        assert ended == Ended(3, "")
        assert shown == {1: b"typed\nbig yes\n/__w/work/work\n", 2: b"oops\n"}

        shell = await open_session(folder, "", has_terminal=True)
        await shell.send(b"stty size; echo 'rea''dy'\n")
        shown_there = await read_until(shell, b"ready\r\n")
        assert b"30 101\r\n" in shown_there, shown_there
        await shell.send(rows=40, columns=90)
        await shell.send(b"stty size\n")
        await read_until(shell, b"40 90\r\n")
        await shell.send(b"sleep 1234 & sleep 4321\n")
        shell.close()  # the connection breaks

        look = "while ps | grep -q '[s]leep [14][23]'; do sleep 0.05; done"
        _shown, ended = await finish(await open_session(folder, look))
        assert ended == Ended(0, "")
        (workspace / "go").touch()
        report = finish_job(folder, pid)
        pid = 0
        assert report.conclusion == "success", report.log()
        assert leftovers(engine_address, job_labels(report.folder)) == []
    finally:
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)
