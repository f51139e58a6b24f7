"""The board: one small file on which whoever keeps the session with the GPU driver writes each second how all GPUs do, and from which the
supervisors of the jobs read. So a machine has one session, and not one for each job.

    mark length:u32le crc:u32le JSON {"at": seconds of CLOCK_BOOTTIME, "gpus": [[uuid, name, {figure: value}, processes, bytes], ...]}

Written in place by one `pwrite`, so that a reader who opened it stays with it when the writer is another one; what was caught in the middle of
a write has another checksum. What is older than `FRESH_SECONDS` says nothing: the writer is gone, or the driver hangs.
"""

import json
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.errors import SpoiledError
from agent.plain_files import open_plain

if TYPE_CHECKING:
    from agent.machine.probes.nvidia_load import GpuLoad

FRESH_SECONDS = 3.5
_EVERY_SECONDS = 1.0
_HEAD = struct.Struct("<4sII")
_MARK = b"GPU1"
_MOST_BYTES = 1 << 20


class GpuBoard:
    """A board to be read. `open` it before this process becomes another user."""

    def __init__(self, file: int) -> None:
        self._file = file

    @classmethod
    def open(cls, path: Path | None) -> "GpuBoard | None":
        """The board at `path`; None where there is none."""
        if path is None:
            return None
        try:
            return cls(open_plain(path, os.O_RDONLY | os.O_CREAT))
        except (OSError, SpoiledError):
            return None

    def read(self, now: float | None = None) -> dict[str, list[Any]] | None:
        """[uuid, name, values, processes, memory in bytes] by UUID; None: nobody has written lately."""
        try:
            head = os.pread(self._file, _HEAD.size, 0)
            mark, length, crc = _HEAD.unpack(head)
            payload = os.pread(self._file, min(length, _MOST_BYTES), _HEAD.size)
            if mark != _MARK or zlib.crc32(payload) != crc:
                return None
            said = json.loads(payload)
        except (OSError, ValueError, struct.error):
            return None
        age = (boot_time() if now is None else now) - said["at"]
        return {gpu[0]: gpu for gpu in said["gpus"]} if 0 <= age <= FRESH_SECONDS else None


class BoardWriter:
    """Writes a board each second as long as somebody needs it, in a thread of its own: a driver that hangs holds up nobody else."""

    def __init__(self, path: Path, is_needed: Callable[[], bool]) -> None:
        self._path = path
        self._is_needed = is_needed
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gpu-board", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let it end at its next turn; nobody waits for a driver."""
        self._told.set()

    def _run(self) -> None:
        from agent.machine.probes.nvidia_load import GpuLoads

        try:
            file = open_plain(self._path, os.O_RDWR | os.O_CREAT)
        except (OSError, SpoiledError):  # a full disk, a lost folder: no figures, and everything else goes on
            return
        loads = GpuLoads()
        try:
            due = time.monotonic()
            while not self._told.is_set():
                if self._is_needed():
                    write_board(file, loads.read(), boot_time())
                else:
                    loads.close()
                due = max(due + _EVERY_SECONDS, time.monotonic())
                self._told.wait(due - time.monotonic())
        finally:
            loads.close()
            os.close(file)


def write_board(file: int, loads: "Sequence[GpuLoad]", at: float) -> None:
    """Write how the GPUs do, at `at`."""
    gpus = [[gpu.uuid, gpu.name, gpu.values, gpu.processes, gpu.memory_total_bytes] for gpu in loads]
    payload = json.dumps({"at": at, "gpus": gpus}, separators=(",", ":")).encode()
    try:
        os.pwrite(file, _HEAD.pack(_MARK, len(payload), zlib.crc32(payload)) + payload, 0)
    except OSError:  # a full disk: the reader sees that it is old
        return


def boot_time() -> float:
    """Seconds since this machine was started, the same for all of its processes."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main() -> None:
    """`python -m agent.machine.gpu_board FILE`: write the board until standard input ends, as it does with whoever started this."""
    import sys

    writer = BoardWriter(Path(sys.argv[1]), lambda: True)
    writer.start()
    sys.stdin.buffer.read()
    writer.stop()


if __name__ == "__main__":
    main()
