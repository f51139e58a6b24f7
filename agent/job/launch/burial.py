"""The burial of a dead attempt: its journal gets a last word, and nothing of it goes on; and how an attempt ended."""

import os
import time
from pathlib import Path

from agent.errors import AgentError, DamagedError
from agent.job.containers.sweeping import sweep_job, sweep_spoiled
from agent.job.folder import attempt as folders
from agent.job.folder.attempt import JobFolder, take_lock
from agent.job.folder.settings import JobSettings
from agent.job.process.ending import end_attempt, find_supervisors, name_supervisor, tell_to_end
from agent.journal.file import JournalReader, JournalWriter
from agent.journal.format import Closed, Opened, StepChanged
from agent.journal.magic import size
from agent.spec.outcome import Conclusion, FailureKind, JobResult
from agent.trees import remove_tree

__all__ = [
    "bury",
    "bury_spoiled",
    "end_attempt",
    "find_supervisors",
    "has_last_word",
    "name_supervisor",
    "read_result",
    "tell_to_end",
]


def bury(
    folder: JobFolder, kind: FailureKind, message: str, conclusion: Conclusion = Conclusion.FAILURE
) -> None:
    """Give the journal of a dead supervisor its last word: Closed(`conclusion`, `kind`, `message`).

    What is left of the job's processes is killed, its containers are removed, a torn tail is cut, steps that were running end as failed. A journal
    that is closed already stays as it is: before its supervisor wrote that, it had ended all of the job. Raises AgentError
    when the supervisor lives, or processes will not end; SpoiledError when the folder is not what it was.
    """
    lock = take_lock(folder)
    if lock is None:
        raise AgentError("the job is still running", where=str(folder.path), hint="cancel it first")
    try:
        if has_last_word(folder):
            return
        end_attempt(folder)
        unswept = sweep_job(folder)
        message = f"{message} ({unswept})" if unswept else message
        _end_journal(folder, JobResult(conclusion, failure_kind=kind, message=message))
    finally:
        os.close(lock)


def bury_spoiled(folder: JobFolder, message: str, settings: JobSettings, journal: int | None = None) -> Path:
    """End the job whose folder was spoiled, as a failure of the infrastructure with `message`, and set the folder aside.

    What takes its place has a journal with a last word when the journal could be had (`journal`: open since before), else
    `ending.json` alone. `settings` are the daemon's own: those in the folder are not to be believed. Gives where the
    spoiled folder is now. Raises AgentError when processes of the job will not end, or the folder can't be moved.
    """
    from agent.job.process.cgroup import JobGroup

    end_attempt(folder, group=JobGroup(settings.job_groups, folder.tracking_id), account=settings.account)
    sweep_spoiled(folder, settings)
    result = JobResult(Conclusion.FAILURE, failure_kind=FailureKind.INFRASTRUCTURE, message=message)
    aside = folders.set_aside(folder, result, journal)
    try:
        if size(folder.journal) > 0:
            _end_journal(folder, result)
    except DamagedError:  # it was no journal
        folder.journal.unlink(missing_ok=True)
    remove_tree(aside)  # what can't go stays there, under a name that says so
    return aside


def has_last_word(folder: JobFolder) -> bool:
    """Whether the journal is closed, and nothing before its end is damaged."""
    try:
        return read_result(folder.journal) is not None
    except DamagedError:
        return False


def read_result(path: Path) -> JobResult | None:
    """How the attempt whose journal is at `path` ended; None while it has not."""
    result: JobResult | None = None
    for _end, record in JournalReader(path):
        if isinstance(record, Closed):
            result = record.result
    return result


def _end_journal(folder: JobFolder, result: JobResult) -> None:
    writer = JournalWriter(folder.journal)
    try:
        _close_journal(folder, writer, result)
    finally:
        writer.close()


def _close_journal(folder: JobFolder, writer: JournalWriter, result: JobResult) -> None:
    running: dict[int, StepChanged] = {}
    last: object = None
    for _end, last in JournalReader(folder.journal):
        if isinstance(last, StepChanged):
            running.pop(last.step, None)
            if last.state == "running":
                running[last.step] = last
    if isinstance(last, Closed):
        return
    now = int(time.time() * 1000)
    outcome = Conclusion.CANCELLED if result.conclusion is Conclusion.CANCELLED else Conclusion.FAILURE
    if last is None:
        writer.append(Opened(folder.job, folder.lease, now))
    for step in running.values():
        writer.append(
            StepChanged(
                *(step.step, step.id, step.name, "completed", now, step.parent),
                outcome=outcome,
                conclusion=outcome,
                seconds=max(0.0, (now - step.time_ms) / 1000),
            )
        )
    writer.append(Closed(now, result))
    writer.sync()
