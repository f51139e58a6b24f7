"""How far a transfer has come: a line in the log now and then, and one at the end."""

import threading
import time

from _toolkit.step import human, say

_EVERY_SECONDS = 5.0
_WIDTH = 30


class Progress:
    """Counts bytes up to `total`; any thread may add some."""

    def __init__(self, total: int, what: str) -> None:
        self._total = total
        self._what = what
        self._done = 0
        self._lock = threading.Lock()
        self._began = self._said = time.monotonic()

    def add(self, size: int) -> None:
        """So many more are done."""
        with self._lock:
            self._done += size
            now = time.monotonic()
            if now - self._said < _EVERY_SECONDS or self._done >= self._total:
                return
            self._said = now
            say(self._line(now))

    def _line(self, now: float) -> str:
        share = min(self._done / self._total, 1.0) if self._total else 1.0
        bar = "#" * int(share * _WIDTH)
        speed = human(int(self._done / max(now - self._began, 0.001)))
        return f"[{bar:-<{_WIDTH}}] {share:4.0%}  {human(self._done)} of {human(self._total)} {self._what}, {speed}/s"
