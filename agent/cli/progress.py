"""How far a transfer has come: one line on a terminal that is drawn again and again; nothing elsewhere."""

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self, TextIO

from agent.errors import InterruptedByUserError

_DRAW_SECONDS = 0.1
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
        self._is_shown = shown and out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.stopping = threading.Event()
        self._lock = threading.Lock()
        self._done = 0
        self._has_drawn = False
        self._drawn_at = float("-inf")
        if patience_seconds is not None:
            self._drawn_at = monotonic() + patience_seconds - _DRAW_SECONDS

    def __enter__(self) -> Self:
        self.add(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._has_drawn:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def add(self, size_bytes: int) -> None:
        """So much more is done; less than nothing when it has to be done again."""
        if self.stopping.is_set():
            raise InterruptedByUserError("interrupted")
        with self._lock:
            self._done += size_bytes
            now = self._monotonic()
            if self._is_shown and now - self._drawn_at >= _DRAW_SECONDS:
                self._drawn_at, self._has_drawn = now, True
                self._out.write(f"\r{self.line()}\x1b[K")
                self._out.flush()

    def line(self) -> str:
        """`push  [######          ]  25 %  1.0 MiB of 4.0 MiB`."""
        share = min(self._done / self._total, 1.0) if self._total else 1.0
        bar = f"[{'#' * int(share * _WIDTH):<{_WIDTH}}]"
        return f"{self._what}  {bar}  {share:.0%}  {size_text(self._done)} of {size_text(self._total)}"
