"""Work that can be ended from outside while the task that does it goes on: `asyncio.timeout` without the clock.

A task for each piece of work would do as well, but costs a step four turns of the loop.
"""

import asyncio
from types import TracebackType
from typing import Self


class Interruptible:
    """The work in the block of this context manager can be ended by `end`; what is around the block goes on.

    A cancellation that somebody around the block asked for passes through.
    """

    def __init__(self) -> None:
        self.was_ended = False  # known once the block has been left
        self._task: asyncio.Task[object] | None = None  # None outside of the block
        self._requests = 0
        self._requests_before = 0  # of those around the block

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._requests_before = self._task.cancelling()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        assert task is not None
        for _ in range(self._requests):
            task.uncancel()
        is_cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        self.was_ended = is_cancelled and task.cancelling() <= self._requests_before
        return self.was_ended

    def end(self) -> None:
        """Cancel the work, in the loop's next turn: the work itself may be who asks. Asking again cancels again."""
        asyncio.get_running_loop().call_soon(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._requests += 1
            self._task.cancel()
