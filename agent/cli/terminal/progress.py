"""Progress of a transfer: one line on a terminal that is drawn again and again; elsewhere a line now and then."""

import os
import shutil
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from agent.cli.terminal.tables import cut_text, duration
from agent.errors import InterruptedByUserError

_DRAW_SECONDS = 0.1
_NOTE_SECONDS = 15.0  # between the lines where no terminal is
_RATE_SECONDS = 5.0  # what the rate is taken over
_WIDTH = 24
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def size_text(size_bytes: float) -> str:
    """`17 bytes`, `3.2 MiB`."""
    for unit in _UNITS[:-1]:
        if size_bytes < 1024:
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:.1f} {_UNITS[-1]}"


class Progress:
    """Counts bytes, from any thread. A context manager: its line is taken away at the end.

    Without a terminal (a file, a pipe, CI) it writes a line every `_NOTE_SECONDS`: what is over sooner says nothing.
    Whoever counts is told to stop, by an InterruptedByUserError, once `stopping` is set: one of them has failed.
    """

    def __init__(
        self,
        what: str,
        total_bytes: int,
        out: TextIO,
        monotonic: Callable[[], float],
        *,
        shown: bool = True,
        patience_seconds: float | None = None,
    ) -> None:
        """What takes less than `patience_seconds` is not shown at all; None: it is shown at once."""
        self._what = what
        self._total = total_bytes
        self._out = out
        self._monotonic = monotonic
        self._is_live = shown and out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._is_noted = shown and not self._is_live
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._done = 0
        self._said_at = float("-inf")
        if patience_seconds is not None:
            self._said_at = monotonic() + patience_seconds - _DRAW_SECONDS
        self._samples: deque[tuple[float, int]] = deque()  # (when, how much was done), the last few seconds

    def __enter__(self) -> Self:
        if self._is_noted:
            self._said_at = self._monotonic()
        self.add(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_live and self._samples:  # something has been drawn
            self._out.write("\r\x1b[K")
            self._out.flush()

    def add(self, size_bytes: int) -> None:
        """So much more is done; less than nothing when it has to be done again."""
        if self.stopping.is_set():
            raise InterruptedByUserError("interrupted")
        with self._lock:
            self._done += size_bytes
            now = self._monotonic()
            if self._is_live and now - self._said_at >= _DRAW_SECONDS:
                self._note(now)
                width = shutil.get_terminal_size().columns - 1
                self._out.write(f"\r{cut_text(self.line(), width)}\x1b[K")
                self._out.flush()
            elif self._is_noted and now - self._said_at >= _NOTE_SECONDS:
                self._note(now)
                self._out.write(f"{self._what}: {self._counted()}{self._pace()}\n")
                self._out.flush()

    def line(self) -> str:
        """`push  [######          ]  25%  1.0 MiB of 4.0 MiB  1.0 MiB/s  3s left`."""
        share = min(self._done / self._total, 1.0) if self._total else 1.0
        bar = f"[{'#' * int(share * _WIDTH):<{_WIDTH}}]"
        return f"{self._what}  {bar}  {share:.0%}  {self._counted()}{self._pace()}"

    def _note(self, now: float) -> None:
        self._said_at = now
        self._samples.append((now, self._done))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_SECONDS:
            self._samples.popleft()

    def _counted(self) -> str:
        return f"{size_text(self._done)} of {size_text(self._total)}"

    def _pace(self) -> str:
        """Rate and time left, by the last few seconds; empty until something has moved."""
        if len(self._samples) < 2:
            return ""
        (began, before), (now, done) = self._samples[0], self._samples[-1]
        rate = (done - before) / (now - began)
        if rate <= 0:
            return "  stalled"
        left = max(self._total - self._done, 0) / rate
        return f"  {size_text(rate)}/s  {_time_left(left)} left"


def _time_left(seconds: float) -> str:
    """`12s`, `3m 05s`, `2h 07m`: no finer than it can be known."""
    return duration(seconds) if seconds >= 10 else f"{seconds:.0f}s"
