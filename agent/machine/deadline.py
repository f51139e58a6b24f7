"""Calls that may never come back (a hung driver, a dead mount), made in a thread that can be left behind.

Python cannot end a thread that waits in the kernel. It can stop waiting for it: the threads are daemon threads, so
one that is stuck costs a little memory and holds up neither the caller nor the end of the process.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def start_call(function: Callable[[], Result], *, name: str) -> Future[Result]:
    """Start `function` in a daemon thread called `name`; the future gets what it returns or raises.

    `future.result(seconds)` raises TimeoutError when the call has not come back by then; `future.done()` tells
    later whether it has.
    """
    future: Future[Result] = Future()
    threading.Thread(target=_carry_out, args=(function, future), name=name, daemon=True).start()
    return future


def _carry_out(function: Callable[[], Result], future: Future[Result]) -> None:
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 - not swallowed: handed to whoever waits for the result
        future.set_exception(error)
    else:
        future.set_result(result)
