"""Notices that supervisors have ended.

Of one that this daemon started the kernel says so at once, by its pidfd. One that an earlier daemon left is known by its
lock only, and that has to be looked at now and then.
"""

import asyncio
import os
from collections.abc import Callable

from agent.errors import SpoiledError
from agent.job.launch.launcher import JobFolder, is_running


class Endings:
    """The supervisors whose end the kernel will tell; `notify` is called then."""

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._watched: set[JobFolder] = set()

    def watch(self, folder: JobFolder, pid: int) -> None:
        """Call `notify` when the supervisor of `folder`, which was started as process `pid`, has ended."""
        try:
            pidfd = os.pidfd_open(pid)
        except OSError:  # it has ended, or the system is out of descriptors: its lock tells
            return
        if not _holds_lock(folder):  # it has ended, and the number may be somebody else's by now
            os.close(pidfd)
            return
        self._watched.add(folder)
        asyncio.get_running_loop().add_reader(pidfd, self._hear, folder, pidfd)

    def covers(self, folder: JobFolder) -> bool:
        """Whether the end of this supervisor will be told; else its lock has to be looked at."""
        return folder in self._watched

    def _hear(self, folder: JobFolder, pidfd: int) -> None:
        asyncio.get_running_loop().remove_reader(pidfd)
        os.close(pidfd)
        # A process that it was just starting may have a copy of the lock for a moment, until it is the new program: whoever
        # finds the lock held must look again.
        self._watched.discard(folder)
        self._notify()


def _holds_lock(folder: JobFolder) -> bool:
    try:
        return is_running(folder)
    except SpoiledError:  # whoever looks after the job sees it too
        return False
