"""The log of a program: lines of its stage's."""

from collections.abc import Callable
from typing import Final

_MOST_HELD: Final = 1 << 20  # of a line that does not end


class ProgramLog:
    """Takes bytes as they come, and says whole lines, as many at once as there are."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._held = b""
        self.last = ""  # the last line that says something: what a program that ends prints is most often why

    def feed(self, data: bytes) -> None:
        """Bytes that were printed."""
        whole, end, rest = (self._held + data).rpartition(b"\n")
        if len(rest) > _MOST_HELD:
            whole, rest = whole + end + rest, b""
        self._held = rest
        if whole:
            self.say(whole.decode("utf-8", "replace"))

    def say(self, text: str) -> None:
        """Lines of it."""
        said = text.rstrip("\n")
        self.last = next((line for line in reversed(said.splitlines()) if line.strip()), self.last)
        self._say(said)

    def end(self) -> None:
        """Nothing comes any more: a line without its end is one as well."""
        if self._held:
            self.say(self._held.decode("utf-8", "replace"))
            self._held = b""
