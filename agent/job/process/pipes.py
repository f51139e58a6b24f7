"""The reading end of a process's output: large chunks, so that the cost is per chunk and not per write."""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable

Sink = Callable[[bytes], None]

_PIPE_BYTES = 1 << 20
_BUSY_BYTES = 16 << 10  # who has written so much at once gets a larger pipe; most never do
_PACE_SECONDS = 0.005  # between two reads of a busy pipe: let it fill
_DRAIN_SECONDS = (
    5.0  # how long output may trickle in after the process ended, from children that it left (as GitHub)
)


class OutputPipe:
    """Reads a pipe into a sink. A busy pipe is left to fill for a moment between two reads."""

    def __init__(self, file: int, sink: Sink) -> None:
        self._file = file
        self._sink = sink
        self.on_end: Callable[[], None] | None = None  # called when nobody holds the other end any more
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._is_large = False
        os.set_blocking(file, False)
        self._loop.add_reader(file, self._read)

    async def drain(self) -> None:
        """Read what is left, waiting a little for children that still write.

        What outlives that may go on writing: it is read, so that nobody blocks or dies of a broken pipe, and dropped.
        """
        self._resume()
        while not self._ended.done() and self._read_once():
            pass
        if not self._ended.done():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_SECONDS):
                    await asyncio.shield(self._ended)
        self._sink = _drop

    def _read(self) -> None:
        count = self._read_once()
        if 0 < count < _PIPE_BYTES // 2 and not self._ended.done():
            self._loop.remove_reader(self._file)
            self._pause = self._loop.call_later(_PACE_SECONDS, self._resume)

    def _read_once(self) -> int:
        """Read one chunk; 0 when there is none just now or none will come."""
        try:
            data = os.read(self._file, _PIPE_BYTES)
        except BlockingIOError:
            return 0
        if data:
            if len(data) >= _BUSY_BYTES and not self._is_large:
                self._enlarge()
            self._sink(data)
        else:
            self._loop.remove_reader(self._file)
            os.close(self._file)
            self._ended.set_result(None)
            if self.on_end is not None:
                self.on_end()
        return len(data)

    def _enlarge(self) -> None:
        self._is_large = True
        with contextlib.suppress(OSError):  # a user near the limit of pipe memory keeps the usual 64 KiB
            fcntl.fcntl(self._file, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def _resume(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if not self._ended.done():
            self._loop.add_reader(self._file, self._read)


def _drop(_data: bytes) -> None:
    """Nobody listens any more."""
