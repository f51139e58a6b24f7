"""The threads of a server, in separate pools, so that what waits for one thing never delays what waits for another.

| pool | what its threads wait for |
| --- | --- |
| store | the embedded database: commits, and locks that another process holds |
| files | the server's own disk: journals, blobs, mirrors that are removed |
| passwords | the processor: hashes of passwords, slow on purpose |
| outside | other people's machines: git hosts, name servers, the sign-in provider |
| plans | the processor: runs that are long to plan |

Each is bounded in threads, in how many may wait for one, and in how long. Of `outside` one host holds a quarter at most
(`Pool.run_for`): one that never answers delays those who wait for it, and nobody who asks another. Work that has begun is never broken off: it has time
limits of its own (git's, the HTTP client's, the resolver's). asyncio's own threads, which everything in a process shares, are
left to the look-up of the database's host.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from typing import Final, ParamSpec, TypeVar

from agent.errors import AgentError
from agent.server.shares import Shares

P = ParamSpec("P")
T = TypeVar("T")

_SHARES: Final = (
    4  # one client holds at most one in so many threads of a pool, and of the places where calls wait
)


class OverloadedError(AgentError):
    """Too much waits for the same thing already; the same may work in a moment."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How many threads a pool has, how many calls may wait for one, and for how long."""

    name: str
    threads: int
    queue: int
    wait_seconds: float


STORE: Final = Terms("store", threads=8, queue=1024, wait_seconds=30)
FILES: Final = Terms("files", threads=8, queue=4096, wait_seconds=60)
PASSWORDS: Final = Terms("passwords", threads=2, queue=64, wait_seconds=15)
OUTSIDE: Final = Terms("outside", threads=16, queue=256, wait_seconds=120)
PLANS: Final = Terms("plans", threads=2, queue=1024, wait_seconds=60)


@dataclass(frozen=True, slots=True)
class Figures:
    """How a pool stands, and what it has seen since its start."""

    threads: int
    busy: int = 0
    queued: int = 0
    begun: int = 0
    waited_seconds: float = 0.0
    refused: int = 0


class Pool:
    """Threads for one kind of blocking work."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._threads = ThreadPoolExecutor(terms.threads, thread_name_prefix=f"pool-{terms.name}")
        self._lock = threading.Lock()  # of the figures
        self._busy = self._queued = self._begun = self._refused = 0
        self._waited_seconds = 0.0
        self.shares = Shares(max(1, terms.threads // _SHARES), max(1, terms.queue // _SHARES))

    @property
    def figures(self) -> Figures:
        """As it is now."""
        in_turn = self.shares.waiting
        with self._lock:
            return Figures(
                self.terms.threads,
                self._busy,
                self._queued + in_turn,
                self._begun,
                self._waited_seconds,
                self._refused,
            )

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `work` gives, done in a thread. Who gives up waiting for it lets it go on.

        Raises OverloadedError when too much waits already, or no thread came free in time: then `work` has not begun.
        """
        return await self._wait_for(self._submit(partial(work, *args, **kwargs)))

    async def run_for(self, client: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, of work that waits for `client`: it has its share of the threads until that work ends, and waits for its turn.

        Raises OverloadedError also when its turn does not come in time, or too much of it waits already.
        """
        await self._take_turn(client)
        try:
            job = self._submit(partial(work, *args, **kwargs))
        except BaseException:
            self.shares.give_back(client)
            raise
        job.add_done_callback(lambda _job: self.shares.give_back(client))
        return await self._wait_for(job)

    def refuse(self, client: str = "") -> OverloadedError:
        """What is raised where no thread is free, or none for `client`; counted."""
        with self._lock:
            self._refused += 1
        whose = f" for {client}" if client else ""
        return OverloadedError(
            f"the server has too much to do already{whose} (its pool '{self.terms.name}')",
            hint="try again in a moment",
        )

    async def _take_turn(self, client: str) -> None:
        turn = self.shares.ask(client)
        if turn is None:
            raise self.refuse(client)
        try:
            async with asyncio.timeout(self.terms.wait_seconds):
                await asyncio.wrap_future(turn)
        except BaseException as error:
            if not turn.cancel():  # it came all the same
                self.shares.give_back(client)
            if isinstance(error, TimeoutError):
                raise self.refuse(client) from None
            raise

    def _submit(self, work: Callable[[], T]) -> "Future[T]":
        if self._queued >= self.terms.queue:
            raise self.refuse()
        inner = partial(contextvars.copy_context().run, work)
        with self._lock:
            self._queued += 1
        job = self._threads.submit(self._do, inner, time.monotonic())
        job.add_done_callback(self._note_end)
        return job

    async def _wait_for(self, job: Future[T]) -> T:
        if self._busy + self._queued <= self.terms.threads:  # there is a thread for each
            return await asyncio.wrap_future(job)
        is_late = False

        def expire() -> None:
            nonlocal is_late
            is_late = job.cancel()

        timer = asyncio.get_running_loop().call_later(self.terms.wait_seconds, expire)
        try:
            return await asyncio.wrap_future(job)
        except asyncio.CancelledError:
            if is_late:
                raise self.refuse() from None
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """Begin nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _do(self, work: Callable[[], T], asked_at: float) -> T:
        with self._lock:
            self._queued -= 1
            self._busy += 1
            self._begun += 1
            self._waited_seconds += time.monotonic() - asked_at
        try:
            return work()
        finally:
            with self._lock:
                self._busy -= 1

    def _note_end(self, job: Future[T]) -> None:
        if job.cancelled():  # it never began
            with self._lock:
                self._queued -= 1


@dataclass(frozen=True, slots=True)
class Pools:
    """The pools of one server."""

    store: Pool
    files: Pool
    passwords: Pool
    outside: Pool
    plans: Pool

    def figures(self) -> dict[str, Figures]:
        """How each stands, by name."""
        pools: list[Pool] = [getattr(self, field.name) for field in fields(self)]
        return {pool.terms.name: pool.figures for pool in pools}

    def close(self) -> None:
        """Begin nothing more."""
        for field in fields(self):
            getattr(self, field.name).close()


def open_pools() -> Pools:
    """The pools of a server; a thread is started when there is work for it."""
    return Pools(Pool(STORE), Pool(FILES), Pool(PASSWORDS), Pool(OUTSIDE), Pool(PLANS))
