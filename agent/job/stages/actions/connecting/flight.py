"""Records that a broker gave and has not been told of: a number for each batch, a key and a receipt for each record. Pure.

given --add--> on its way --settle--> settled --told--> forgotten
given again while on its way, or settled --> a new receipt, and no second record
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

_REMEMBERED = (
    20_000  # settled records, against a broker that gives them again because it was not told, or forgot
)

Key = TypeVar("Key", bound=Hashable)
Receipt = TypeVar("Receipt")


class Flight(Generic[Key, Receipt]):
    """The records of one trigger, over all of its connections."""

    def __init__(self) -> None:
        self._number = 0
        self._on_way: OrderedDict[Key, tuple[int, Receipt]] = OrderedDict()
        self._settled: OrderedDict[Key, None] = OrderedDict()
        self._untold: dict[Key, Receipt] = {}

    def add(self, given: Iterable[tuple[Key, Receipt]]) -> list[tuple[Key, int]]:
        """Those of them that are new, each with its number; of others, the receipt."""
        new = []
        for key, receipt in given:
            if key in self._settled:
                self._untold[key] = receipt
            elif key in self._on_way:
                self._on_way[key] = (self._on_way[key][0], receipt)
            else:
                self._number += 1
                self._on_way[key] = (self._number, receipt)
                new.append((key, self._number))
        return new

    def drop(self, keys: Iterable[Key]) -> None:
        """They were not handed on: they are taken when they are given again."""
        for key in keys:
            self._on_way.pop(key, None)

    def settle(self, number: int) -> None:
        """All up to a number have ended."""
        while self._on_way:
            key, (at, receipt) = next(iter(self._on_way.items()))
            if at > number:
                return
            del self._on_way[key]
            self._untold[key] = receipt
            self._settled[key] = None
            if len(self._settled) > _REMEMBERED:
                self._settled.popitem(last=False)

    def untold(self) -> list[tuple[Key, Receipt]]:
        """What the broker is to be told as settled."""
        return list(self._untold.items())

    def told(self, keys: Sequence[Key]) -> None:
        """It was told."""
        for key in keys:
            self._untold.pop(key, None)

    def on_way(self) -> list[tuple[Key, Receipt]]:
        """What the broker is to be told as still at work."""
        return [(key, receipt) for key, (_, receipt) in self._on_way.items()]
