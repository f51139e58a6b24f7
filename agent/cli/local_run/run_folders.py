"""The folder of a local run: private, locked while its run lives, and gone with it.

lock held               its run lives
a lock that nobody holds   its run was killed: the next run removes the folder, with all that its jobs left
no lock                 kept for a look (`--keep`), or not ready yet: left alone
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import AgentError
from agent.trees import remove_tree

_PREFIX = "flow-run-"
_LOCK = "lock"


@contextmanager
def open_run_folder(*, keep: bool) -> Iterator[Path]:
    """A folder for this run; removed afterwards unless `keep`. What killed runs have left is removed first."""
    sweep_run_folders(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    lock = None if keep else _take_new_lock(folder)
    try:
        yield folder
    finally:
        if lock is not None:
            remove_tree(folder)
            os.close(lock)


def sweep_run_folders(root: Path) -> None:
    """Remove the folders of this user's runs in `root` that live no more.

    A job that still runs is told to end; its folder goes another day.
    """
    for folder in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError, AgentError):  # what can't be removed is in nobody's way
            if folder.lstat().st_uid == os.geteuid() and not folder.is_symlink():
                _sweep(folder)


def _sweep(folder: Path) -> None:
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _end_jobs(folder / "jobs"):
            remove_tree(folder)
    finally:
        os.close(lock)


def _end_jobs(root: Path) -> bool:
    """End what is left of the jobs in `root`; whether nothing is left."""
    if not root.is_dir():
        return True
    from agent.job.launch.burial import bury
    from agent.job.launch.launcher import is_running, list_job_folders, remove_job_folder, request_cancel
    from agent.spec.outcome import FailureKind

    is_over = True
    for job in list_job_folders(root):
        if is_running(job):
            request_cancel(job, "the run that started it is gone")
            is_over = False
        else:
            bury(job, FailureKind.LOST, "the run that started it was killed")
            remove_job_folder(job)
    return is_over


def _take_new_lock(folder: Path) -> int:
    """The lock of a new folder: nobody sees it before it is held."""
    making = folder / f".{_LOCK}"
    lock = os.open(making, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    making.rename(folder / _LOCK)
    return lock
