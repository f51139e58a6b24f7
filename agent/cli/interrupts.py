"""Ctrl-C as a count that a loop looks at, not as an exception in the middle of something."""

import signal
from types import FrameType, TracebackType
from typing import Self


class Interrupts:
    """Counts ctrl-C and polite kills instead of raising in the middle of something. A context manager."""

    def __init__(self) -> None:
        self.count = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
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

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
