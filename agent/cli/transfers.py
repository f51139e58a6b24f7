"""Many requests at once, each tried again while that may help."""

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

from agent.cli.client import BusyError
from agent.errors import UnreachableError

T = TypeVar("T")
R = TypeVar("R")
DELAYS_SECONDS = (0.2, 0.8, 3.0, 10.0, 30.0)  # between tries: a server that restarts is waited for
AT_ONCE = 4


def try_patiently(work: Callable[[], R], pause: Callable[[float], object] = time.sleep) -> R:
    """What `work` gives, tried again when the server was busy or could not be reached. Raises what it raises at last."""
    for delay in DELAYS_SECONDS:
        try:
            return work()
        except BusyError as error:
            pause(max(delay, min(error.retry_seconds, DELAYS_SECONDS[-1])))
        except UnreachableError:
            pause(delay)
    return work()


def do_all(
    work: Callable[[T], object], things: Iterable[T], stopping: threading.Event, at_once: int = AT_ONCE
) -> None:
    """`work` on each of `things`, some at a time. The first failure sets `stopping`, ends the rest and is raised."""

    def guarded(thing: T) -> None:
        if not stopping.is_set():
            work(thing)

    pool = ThreadPoolExecutor(at_once)
    try:
        futures = [pool.submit(guarded, thing) for thing in things]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:
        stopping.set()
        pool.shutdown(wait=True, cancel_futures=True)
