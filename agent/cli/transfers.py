"""Bytes up and down, each request tried again while that may help; many at once."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from agent.cli.client import BusyError, Client
from agent.errors import DamagedError, UnreachableError

T = TypeVar("T")
R = TypeVar("R")
DELAYS_SECONDS = (0.2, 0.8, 3.0, 10.0, 30.0)  # between tries: a server that restarts is waited for
AT_ONCE = 4
_CHUNK_BYTES = 256 << 10
Count = Callable[
    [int], object
]  # is told of bytes as they move; less than nothing when they have to move again


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


def fetch_rest(
    client: Client, path: str, part: Path, size_bytes: int, on_bytes: Count, *, where: str
) -> None:
    """Bring what is missing of `part`, which is to have `size_bytes`; what is there already is kept.

    Raises DamagedError, naming `where`, when more comes than that, and what the client raises.
    """
    start = part.stat().st_size if part.exists() else 0
    if start >= size_bytes > 0:
        return
    with part.open("ab") as out:
        for place, chunk in client.fetch(path, start):
            if place != out.tell():
                on_bytes(place - out.tell())
                out.truncate(place)
                out.seek(place)
            if place + len(chunk) > size_bytes:
                raise DamagedError("more bytes came than the file has", where=where)
            out.write(chunk)
            on_bytes(len(chunk))


def send_file(client: Client, path: str, source: Path, on_bytes: Count) -> None:
    """Send the bytes of `source`, once. What was counted is taken back when it fails."""
    counted = 0

    def read() -> Iterator[bytes]:
        nonlocal counted
        with source.open("rb") as content:
            while data := content.read(_CHUNK_BYTES):
                yield data
                counted += len(data)
                on_bytes(len(data))

    try:
        client.send(path, read(), source.stat().st_size)
    except Exception:
        on_bytes(-counted)
        raise


def hash_file(file: Path) -> str:
    """`sha256:HEX` of the bytes of `file`."""
    with file.open("rb") as content:
        return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"


def has_digest(file: Path, digest: str) -> bool:
    """Whether the bytes of `file` have the `sha256:HEX`."""
    return hash_file(file) == digest
