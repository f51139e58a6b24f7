"""The executor without a Slurm that answers: what job folders say counts, and nothing that is missing ends the daemon's loops."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.daemon_process import wait_until
from support.jobs import make_settings
from support.wire import job_spec

from agent.daemon.slurm.commands import SlurmCommands
from agent.daemon.slurm.executor import SlurmExecutor
from agent.daemon.slurm.job import make_job, read_job
from agent.daemon.slurm.request import SlurmSettings
from agent.errors import DamagedError
from agent.job.launch.launcher import JobFolder, Reply, create_job_folder
from agent.job.launch.lines import append_line, prepare_lines, read_lines, read_number
from agent.spec.outcome import FailureKind


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    """A stored job."""
    return create_job_folder(tmp_path / "jobs", job_spec("job_x", "true"), 1, make_settings(tmp_path), {})


@pytest.fixture
async def executor() -> AsyncIterator[SlurmExecutor]:
    """An executor at work on a machine where no command of Slurm's is."""
    made = SlurmExecutor(SlurmSettings(), SlurmCommands({"PATH": "/nowhere"}))
    work = asyncio.create_task(made.watch())
    yield made
    assert not work.done()
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


def note_as_queued(folder: JobFolder) -> None:
    job = make_job(folder)
    job.number = 7
    job.note()
    prepare_lines(folder)


async def test_the_folders_word_counts_without_any_answer_of_slurm(
    executor: SlurmExecutor, folder: JobFolder
) -> None:
    note_as_queued(folder)
    assert executor.adopt(folder)
    assert executor.find_obstacle(folder) == "the job waits in Slurm (job 7)"
    append_line(folder, "allocation", {"event": "began", "slurm_job": "8", "host": "n9"})
    await wait_until(
        lambda: executor.find_obstacle(folder).startswith("the job runs on n9, which can't be reached")
    )
    noted = read_job(folder)
    assert noted is not None
    assert noted.number == 8  # Slurm had it twice, and this one has it
    append_line(folder, "allocation", {"event": "ended", "slurm_job": "8", "host": "n9", "status": -9})
    await wait_until(lambda: executor.has_ended(folder))


async def test_a_job_that_can_never_be_handed_over_ends_and_keeps_no_other(
    executor: SlurmExecutor, folder: JobFolder
) -> None:
    await executor.launch(folder)
    await wait_until(lambda: executor.has_ended(folder))
    fate = await asyncio.to_thread(executor.explain, folder, None)  # type: ignore[arg-type]  # it asks for no clue
    assert fate.message.startswith("Slurm does not take the job: there is no `sinfo`")


async def test_a_cancel_is_in_the_folder_before_anybody_is_told(
    executor: SlurmExecutor, folder: JobFolder
) -> None:
    note_as_queued(folder)
    executor.adopt(folder)
    assert (
        await asyncio.to_thread(executor.ask_to_end, folder, "not wanted", FailureKind.CANCELLED)
        is Reply.SILENT
    )  # no scancel here
    (asked,) = read_lines(folder, "asked")
    assert (asked["kind"], asked["reason"]) == ("cancel", "not wanted")
    noted = read_job(folder)
    assert noted is not None
    assert noted.cancelled == "not wanted"


def test_a_note_that_is_spoiled_is_damage_and_no_crash(folder: JobFolder) -> None:
    (folder.path / "slurm.json").write_text("[]")
    with pytest.raises(DamagedError):
        read_job(folder)
    (folder.path / "slurm.json").unlink()
    assert read_job(folder) is None


def test_lines_that_a_job_has_spoiled_are_passed_over(folder: JobFolder) -> None:
    prepare_lines(folder)
    append_line(folder, "allocation", {"event": "began"})
    with (folder.path / "allocation.jsonl").open("ab") as file:
        file.write(b'[]\n"x"\n\xff\xfe\n' + b"[" * 10_000 + b'\n{"half": ')
    assert read_lines(folder, "allocation") == [{"event": "began"}]
    assert [read_number({"slurm_job": number}) for number in ("12", "9" * 5000, "\u0661", None)] == [
        12,
        0,
        0,
        0,
    ]
    with (folder.path / "allocation.jsonl").open("ab") as file:
        file.truncate(1 << 17)
    with pytest.raises(DamagedError, match="more than"):
        read_lines(folder, "allocation")
    (folder.path / "asked.jsonl").unlink()
    (folder.path / "asked.jsonl").symlink_to("/etc/passwd")
    with pytest.raises(DamagedError):
        read_lines(folder, "asked")
