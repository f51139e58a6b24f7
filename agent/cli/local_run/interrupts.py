"""Ctrl-C, a polite kill or the end of the terminal as a count that a loop looks at, not as an exception in the middle of something."""

import os
import signal
from types import FrameType, TracebackType
from typing import Self


class Interrupts:
    """Counts ctrl-C and polite kills instead of raising in the middle of something. A context manager.

    A terminal that is closed counts like the first ctrl-C, however often that is told; what is printed then goes nowhere.
    """

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, object] = {}
        self._terminals: list[int] = []

    def __enter__(self) -> Self:
        self._terminals = [number for number in range(3) if os.isatty(number)]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if (
                signal.getsignal(number) is not signal.SIG_IGN
            ):  # a job in the background is not meant by ctrl-C
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave, it takes

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGHUP:
            self.count += 1
            return
        self.count = max(self.count, 1)
        nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for terminal in self._terminals:
            os.dup2(nowhere, terminal)
        os.close(nowhere)
