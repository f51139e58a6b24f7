"""The board of a local run: a small process beside it writes how the GPUs do, as long as the run lasts and a job has GPUs.

A process, and no thread: the run forks supervisors, and a driver that hangs is to hold up nobody.
"""

import subprocess
import sys
from pathlib import Path


class LocalBoard:
    """Started with the first job that has GPUs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Path | None:
        """The board; None where it can't be had."""
        if self._process is None:
            command = [sys.executable, "-m", "agent.machine.gpu_board", str(self._path)]
            try:
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            except OSError:  # no process may be had: the job runs without figures
                return None
        return self._path

    def close(self) -> None:
        """The run is over. It holds nothing, so it need not end in peace: its driver may hang."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
