"""People attached to a running job: a real supervisor, real terminals, real programs."""

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.jobs import JobReport, finish_job, read_report, script, start_job
from support.lab import PATIENCE_SECONDS

from agent.errors import AgentError
from agent.job.attach.client import Attachment, Ended
from agent.job.launch.launcher import JobFolder, request_cancel
from agent.job.process.proc import is_alive, kill_tracked, list_marked
from agent.journal.format import StepChanged

TERMINAL = {"rows": 30, "columns": 101, "kind": "vt100"}


class Guest:
    """An attached session, and what it has shown so far."""

    def __init__(self, attachment: Attachment) -> None:
        self.attachment = attachment
        self.shown = {1: b"", 2: b""}
        self.ended: Ended | None = None

    async def read_until(self, pattern: bytes) -> bytes:
        """What was shown, once `pattern` is in it."""
        while not re.search(pattern, self.shown[1]):
            assert await self.read(), self.shown
        return self.shown[1]

    async def read(self) -> bool:
        """The next thing that comes; False when it was the end."""
        said = await self.attachment.receive()
        if isinstance(said, Ended):
            self.ended = said
            return False
        self.shown[said.stream] += said.data
        return True

    async def finish(self) -> Ended:
        while await self.read():
            pass
        assert self.ended is not None
        return self.ended


@contextlib.asynccontextmanager
async def attached(folder: JobFolder, *command: str, has_terminal: bool = False) -> AsyncIterator[Guest]:
    request = {
        "session": "attach_00000000000000000001",
        "user": "alice",
        "address": "10.0.0.7",
        "command": command,
        "terminal": TERMINAL if has_terminal else None,
    }
    attachment = await Attachment.open(folder, request)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield Guest(attachment)
    finally:
        attachment.close()


@contextlib.contextmanager
def running(
    tmp_path: Path, *before: str, **options: Any
) -> Iterator[tuple[JobFolder, Callable[[], JobReport]]]:
    """A job that did `before`, and now waits for the file `go` in its workspace."""
    lines = [*before, "touch here", "until [ -e go ]; do sleep 0.02; done", "cat go"]
    folder, pid = start_job(tmp_path, script("train", "\n".join(lines)), **options)
    reports: list[JobReport] = []

    def finish() -> JobReport:
        if not reports:
            (workspace(folder) / "go").touch()
            reports.append(finish_job(folder, pid))
        return reports[0]

    try:
        wait_for((workspace(folder) / "here").exists)
        yield folder, finish
    finally:
        if not reports:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            kill_tracked(folder.tracking_id)


def workspace(folder: JobFolder) -> Path:
    return folder.read_settings().work_folder / folder.name / "work" / "work"


def wait_for(condition: Callable[[], object]) -> None:
    import time

    while not condition():
        time.sleep(0.005)


async def test_a_command_runs_beside_the_step_with_its_folder_and_environment(tmp_path: Path) -> None:
    with running(tmp_path, "echo MODEL=big >> $GITHUB_ENV") as (folder, finish):
        async with attached(
            folder, 'pwd; echo "$GITHUB_JOB $RUNNER_TRACKING_ID"; echo oops >&2; exit 7'
        ) as guest:
            assert await guest.finish() == Ended(7, "")
        assert guest.shown == {
            1: f"{workspace(folder)}\ntrain {folder.tracking_id}\n".encode(),
            2: b"oops\n",
        }
        report = finish()
    assert report.conclusion == "success"
    (step,) = (
        step
        for step in report.records
        if isinstance(step, StepChanged) and step.id == "__attach" and step.state == "completed"
    )
    assert step.name == "Attached: alice"
    assert re.fullmatch(
        r"alice attached from 10\.0\.0\.7, to run: .*\nalice left after \d+ s: exit code 7\n",
        report.log("__attach"),
    )


async def test_a_shell_has_a_terminal_of_the_users_size_and_ctrl_c_goes_to_what_runs_there(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as (folder, finish):
        async with attached(folder, has_terminal=True) as guest:
            await guest.attachment.send(b"stty size; echo $TERM; tty\n")
            await guest.read_until(rb"30 101\r\nvt100\r\n/dev/pts/\d+")
            await guest.attachment.send(rows=40, columns=90)
            await guest.attachment.send(b"stty size\n")
            await guest.read_until(rb"40 90\r\n")
            trap = "trap 'echo inter''rupted; exit 3' INT; echo rea''dy; sleep 1000 & wait"
            await guest.attachment.send(f"({trap})\n".encode())
            await guest.read_until(rb"[\r\n]ready\r\n")
            await guest.attachment.send(b"\x03")
            await guest.read_until(rb"interrupted\r\n")
            await guest.attachment.send(b"exit 5\n")
            assert (await guest.finish()).exit_code == 5
        assert finish().conclusion == "success"


async def test_who_hangs_up_leaves_nothing_behind_and_the_job_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as (folder, finish):
        async with attached(folder, has_terminal=True) as guest:
            await guest.attachment.send(b"set -m; (trap '' HUP INT TERM; echo ready; sleep 1000) & wait\n")
            await guest.read_until(rb"[\r\n]ready\r\n")
            left = list_marked("FLOW_ATTACHED=attach_00000000000000000001")
            assert len(left) >= 2
        while any(map(is_alive, left)):
            await asyncio.sleep(0.01)
        report = finish()
        assert report.conclusion == "success"
        assert "left after" in report.log("__attach")
        assert report.log("__attach").rstrip().endswith("hung up")


async def test_a_flood_that_nobody_reads_any_more_does_the_job_no_harm(tmp_path: Path) -> None:
    with running(tmp_path) as (folder, finish):
        for has_terminal in (True, False):
            async with attached(folder, "yes", has_terminal=has_terminal) as guest:
                await guest.read_until(rb"y\r?\ny")
        assert finish().conclusion == "success"


async def test_the_end_of_the_job_ends_who_is_attached_and_says_so(tmp_path: Path) -> None:
    with running(tmp_path) as (folder, finish):
        async with attached(folder, has_terminal=True) as guest:
            await guest.attachment.send(b"echo ready\n")
            await guest.read_until(rb"[\r\n]ready\r\n")
            (workspace(folder) / "go").touch()
            assert await guest.finish() == Ended(None, "the job has ended")
        report = finish()
        assert "orphan" not in report.log()


async def test_a_cancelled_job_takes_who_is_attached_along(tmp_path: Path) -> None:
    with running(tmp_path) as (folder, finish):
        async with attached(folder, has_terminal=True) as guest:
            await guest.attachment.send(b"echo ready\n")
            await guest.read_until(rb"[\r\n]ready\r\n")
            request_cancel(folder, "enough")
            assert await guest.finish() == Ended(None, "the job has ended")
        assert finish().conclusion == "cancelled"


async def test_input_reaches_the_command_whole_and_so_does_its_end(tmp_path: Path) -> None:
    data = os.urandom(300_000).hex().encode()
    with running(tmp_path) as (folder, finish):
        async with attached(folder, "md5sum; cat >&2") as guest:

            async def type_all() -> None:
                for start in range(0, len(data), 8000):
                    await guest.attachment.send(data[start : start + 8000])
                await guest.attachment.send(is_end=True)

            typing = asyncio.create_task(type_all())
            assert (await guest.finish()).exit_code == 0
            await typing
        import hashlib

        assert guest.shown[1].split()[0].decode() == hashlib.md5(data).hexdigest()
        finish()


async def test_a_secret_is_masked_however_it_is_cut_and_while_it_is_typed(tmp_path: Path) -> None:
    with running(tmp_path, secrets={"TOKEN": "hunter2-and-more"}) as (folder, finish):
        async with attached(
            folder, "printf hunter2-; sleep 0.3; printf and-more; echo; printf hun; sleep 0.3; echo ger"
        ) as guest:
            await guest.finish()
            assert guest.shown[1] == b"***\nhunger\n"
        async with attached(folder, "cat", has_terminal=True) as guest:
            for character in b"hunter2-and-more\n":
                await guest.attachment.send(bytes([character]))
                await asyncio.sleep(0.06)
            await guest.attachment.send(b"x\n")
            await guest.read_until(rb"x\r\nx\r\n")
            assert b"hunt" not in guest.shown[1]
            assert b"***" in guest.shown[1]
        assert "hunter2-and-more" not in finish().log()


async def test_what_is_typed_shows_at_once_though_a_secret_may_begin_so(tmp_path: Path) -> None:
    with running(tmp_path, secrets={"TOKEN": "hunter2-and-more"}) as (folder, finish):
        async with attached(folder, "cat", has_terminal=True) as guest:
            await guest.attachment.send(b"hu")
            await guest.read_until(rb"hu")
            await guest.attachment.send(b"ge\n")
            await guest.read_until(rb"huge\r\nhuge\r\n")
        finish()


async def test_the_owner_of_the_machine_can_forbid_it(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("")
    with running(tmp_path, settings={"policy_file": policy}) as (folder, finish):
        async with attached(folder, "echo hello") as guest:
            assert (await guest.finish()).exit_code == 0
        policy.write_text("[attach]\nallow = false\n")
        with pytest.raises(AgentError, match="the policy of this machine lets nobody attach"):
            async with attached(folder, "echo hello"):
                pass
        policy.write_text("[attach]\nallow = true\nidle_minutes = 0.002\n")
        async with attached(folder, has_terminal=True) as guest:
            assert await guest.finish() == Ended(None, "nothing was heard for 0.002 minutes")
        finish()


async def test_what_the_owner_had_said_before_any_job_ran_counts_and_not_what_a_job_writes(
    tmp_path: Path,
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("[attach]\nallow = true\n")
    said_before = {"policy_file": policy, "policy": {"attach": {"allow": False}}}
    with running(tmp_path, settings=said_before) as (folder, finish):
        with pytest.raises(AgentError, match="the policy of this machine lets nobody attach"):
            async with attached(folder, "echo hello"):
                pass
        finish()
    folder, pid = start_job(tmp_path, script("one", "false"), hold_minutes=0.02, settings=said_before)
    assert "it is not held" in finish_job(folder, pid).log("__hold")


async def test_what_is_no_request_is_refused_and_the_job_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as (folder, _finish):
        with pytest.raises(AgentError, match="nobody understands"):
            await Attachment.open(folder, {"session": "x"})
        async with attached(folder, "echo hello") as guest:
            guest.attachment._writer.write(b"\xff\xff\xff\xff\xff")
            await guest.finish()
        with pytest.raises(AgentError, match="there is no program 'no-such-program'"):
            async with attached(folder, "no-such-program", "--really"):
                pass
    assert read_report(folder)


# Held after a failure


@contextlib.contextmanager
def held(tmp_path: Path, minutes: float = 30, **options: Any) -> Iterator[tuple[JobFolder, int]]:
    """A job whose step has failed, and that is held."""
    folder, pid = start_job(
        tmp_path,
        script("fail", "echo trouble > trace; exit 3"),
        script("after", "echo tidied", condition="always()"),
        hold_minutes=minutes,
        **options,
    )
    try:
        wait_for(lambda: folder.journal.exists() and b"It waits for somebody" in folder.journal.read_bytes())
        yield folder, pid
    finally:
        with contextlib.suppress(ChildProcessError):  # it was waited for
            if os.waitpid(pid, os.WNOHANG) == (0, 0):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


async def test_a_failed_job_is_held_until_the_shell_of_whoever_looks_ends(tmp_path: Path) -> None:
    with held(tmp_path) as (folder, pid):
        async with attached(folder, "cat trace") as guest:
            assert await guest.finish() == Ended(0, "")  # a command is no end of the looking
        async with attached(folder, has_terminal=True) as guest:
            await guest.attachment.send(b"echo rea''dy\n")
            await guest.read_until(rb"[\r\n]ready\r\n")  # and neither is a connection that breaks
        async with attached(folder, has_terminal=True) as guest:
            await guest.attachment.send(b"cat trace; exit\n")
            assert (await guest.finish()).exit_code == 0
            assert b"trouble" in guest.shown[1]
        report = finish_job(folder, pid)
    assert report.conclusion == "failure"
    assert report.result.exit_code == 3
    log = report.log("__hold")
    assert "agent run attach 1 'train'" in log
    assert "agent run resume 1 'train'" in log
    assert log.endswith("It goes on: alice has left\n")
    assert re.fullmatch(r"Held until \d\d:\d\d:\d\d UTC", report.steps()["__hold"].name)


async def test_somebody_may_say_that_a_held_job_goes_on(tmp_path: Path) -> None:
    request = {"session": "attach_00000000000000000001", "user": "bob", "address": "", "command": []}
    with running(tmp_path) as (folder, finish):
        with pytest.raises(AgentError, match="the job is not held"):
            await Attachment.open(folder, {**request, "is_resume": True})
        finish()
    with held(tmp_path / "held") as (folder, pid):
        attachment = await Attachment.open(folder, {**request, "is_resume": True})
        assert await attachment.receive() == Ended(0, "")
        attachment.close()
        assert finish_job(folder, pid).log("__hold").endswith("It goes on: bob said so\n")


async def test_a_hold_ends_at_its_deadline_and_at_once_by_a_cancel(tmp_path: Path) -> None:
    with held(tmp_path / "deadline", minutes=0.01) as (folder, pid):
        assert finish_job(folder, pid).log("__hold").endswith("It goes on: the time is over\n")
    with held(tmp_path / "cancel") as (folder, pid):
        request_cancel(folder, "enough")
        report = finish_job(folder, pid)
        assert report.log("__hold").endswith("It goes on: enough\n")
        assert report.conclusion == "cancelled"
    with held(tmp_path / "time-out", timeout_minutes=0.02) as (folder, pid):
        assert "exceeded the maximum execution time" in finish_job(folder, pid).log("__hold")


async def test_a_job_that_succeeds_is_not_held_nor_one_where_nobody_may_attach(tmp_path: Path) -> None:
    folder, pid = start_job(tmp_path, script("one", "true"), hold_minutes=30)
    assert "__hold" not in finish_job(folder, pid).steps()
    policy = tmp_path / "policy.toml"
    policy.write_text("[attach]\nallow = false\n")
    folder, pid = start_job(
        tmp_path, script("one", "false"), hold_minutes=30, settings={"policy_file": policy}
    )
    assert "it is not held" in finish_job(folder, pid).log("__hold")
