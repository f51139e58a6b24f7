"""Records for flows under load: each has a name that no other has; who gives it knows when it was accepted, the sink each time that it arrived."""

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from redis import Redis
from redis.exceptions import RedisError
from support.sink import Sink

_SENDERS = 4
_MOST_ON_WAY = (
    150  # of a source: enough that something is always at work, and few enough to be worked off at the end
)
_AGAIN_SECONDS = 0.05  # before a sender tries again
STREAM, GROUP = "orders", "soak"


@dataclass
class Ledger:
    """What was accepted and what arrived, of one source, by names; moments by the monotonic clock."""

    prefix: str
    accepted: dict[str, float] = field(default_factory=dict)
    arrived: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    refused: Counter[int] = field(default_factory=Counter)  # answers that a sender should not get
    changed: threading.Condition = field(default_factory=threading.Condition)
    is_closed: bool = False
    _drawn: int = 0

    def draw(self) -> str:
        """The name of the next record, once there is room for it; empty: there is no next one."""
        with self.changed:
            self.changed.wait_for(lambda: self.is_closed or self._drawn - len(self.arrived) < _MOST_ON_WAY)
            if self.is_closed:
                return ""
            self._drawn += 1
            return f"{self.prefix}-{self._drawn}"

    def accept(self, name: str) -> None:
        """Whoever keeps it has said so."""
        with self.changed:
            self.accepted[name] = time.monotonic()
            self.changed.notify_all()

    def arrive(self, name: str) -> None:
        """It has reached the end of its flow."""
        with self.changed:
            self.arrived[name].append(time.monotonic())
            self.changed.notify_all()

    def close(self) -> None:
        """Nothing more is given."""
        with self.changed:
            self.is_closed = True
            self.changed.notify_all()

    @property
    def missing(self) -> set[str]:
        """What was accepted, and has not arrived."""
        with self.changed:
            return self.accepted.keys() - self.arrived.keys()

    @property
    def work(self) -> int:
        """How much has happened."""
        return len(self.accepted) + sum(map(len, list(self.arrived.values())))


class CountingSink(Sink):
    """Tells the ledgers what arrived."""

    def __init__(self, ledgers: Mapping[str, Ledger]) -> None:
        self._ledgers = ledgers
        super().__init__()

    def take(self, value: Any) -> None:
        """Its name says whose it is."""
        self._ledgers[value["id"].partition("-")[0]].arrive(value["id"])


@contextmanager
def sending(ledger: Ledger, url: str) -> Iterator[None]:
    """Senders of webhooks, each of which sends a record until it was answered 202."""
    over = threading.Event()

    def send_all() -> None:
        with httpx.Client(timeout=30) as client:
            while name := ledger.draw():
                while not over.is_set() and not _post(client, url, name, ledger):
                    over.wait(_AGAIN_SECONDS)

    with _threads(send_all, _SENDERS, ledger, over):
        yield


@contextmanager
def adding(ledger: Ledger, port: int) -> Iterator[None]:
    """Who adds records to a stream of Redis, one at a time."""
    over = threading.Event()

    def add_all() -> None:
        with Redis(port=port, protocol=2) as client:
            while name := ledger.draw():
                client.xadd(STREAM, {"record": json.dumps({"id": name})})
                ledger.accept(name)

    with _threads(add_all, 1, ledger, over):
        yield


@contextmanager
def _threads(work: Callable[[], None], count: int, ledger: Ledger, over: threading.Event) -> Iterator[None]:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    except BaseException:
        over.set()
        raise
    finally:
        ledger.close()  # what was drawn is sent until it is accepted
        for thread in threads:
            thread.join()


def _post(client: httpx.Client, url: str, name: str, ledger: Ledger) -> bool:
    try:
        answer = client.post(url, json={"id": name}, headers={"Idempotency-Key": name})
    except httpx.TransportError:
        return False
    if answer.status_code == 202:
        ledger.accept(name)
        return True
    if answer.status_code not in (429, 503):
        ledger.refused[answer.status_code] += 1
    return False


def list_pending(port: int) -> frozenset[str]:
    """The names of what Redis has given and was not told of."""
    with Redis(port=port, protocol=2) as client:
        try:
            pending = client.xpending_range(STREAM, GROUP, "-", "+", 100_000)
        except RedisError:  # the group is made by the flow
            return frozenset()
        ids = {entry["message_id"] for entry in pending}
        if not ids:
            return frozenset()
        entries = client.xrange(STREAM, min(ids, key=_order), max(ids, key=_order))
        return frozenset(json.loads(fields[b"record"])["id"] for name, fields in entries if name in ids)


def _order(name: bytes) -> tuple[int, ...]:
    return tuple(map(int, name.split(b"-")))
