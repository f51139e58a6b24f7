"""Paths of the machine's folders inside a container, and back."""

from collections.abc import Iterable
from pathlib import Path


class PathMap:
    """Pairs of (a folder of the machine, its place inside). With no pairs, both sides are one."""

    def __init__(self, pairs: Iterable[tuple[Path | str, str]] = ()) -> None:
        self._pairs = [(str(host), inside) for host, inside in pairs]

    def to_inside(self, text: str) -> str:
        """`text` as a process inside sees it, when it is a path of the machine that lies there; else as it is."""
        return _translate(text, self._pairs)

    def to_host(self, text: str) -> str:
        """`text` as the machine sees it, when it is a path inside that comes from it; else as it is."""
        return _translate(text, [(inside, host) for host, inside in self._pairs])


def _translate(text: str, pairs: list[tuple[str, str]]) -> str:
    """The longest of the matching prefixes wins: folders lie in one another."""
    best, replacement = "", ""
    for prefix, other in pairs:
        is_below = text == prefix or text.startswith(prefix.rstrip("/") + "/")
        if is_below and len(prefix) > len(best):
            best, replacement = prefix, other
    return replacement + text[len(best) :] if best else text
