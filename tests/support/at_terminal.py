"""Our command at a real terminal: what is typed, and what it has shown."""

import os
import pty
import select
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from support.lab import PATIENCE_SECONDS, command_line, wait_for


class AtTerminal:
    """The command at a real terminal, and what it has shown."""

    def __init__(self, environment: Mapping[str, str], *words: str, is_controlling: bool = True) -> None:
        self.file, other = pty.openpty()
        termios.tcsetwinsize(other, (33, 99))
        self.process = subprocess.Popen(
            ["setsid", *(["--ctty"] if is_controlling else []), *command_line(*words)],
            env={**os.environ, **environment, "TERM": "vt100"},
            stdin=other,
            stdout=other,
            stderr=other,
        )
        os.close(other)
        self.shown = b""
        self._is_hung_up = False

    def type(self, text: str) -> None:
        os.write(self.file, text.encode())

    def read_until(self, wanted: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while wanted.encode() not in self.shown:
            if self._is_hung_up or time.monotonic() > deadline:
                pytest.fail(f"{wanted!r} was not shown, but {self.shown!r}")
            self._read(0.1)

    def finish(self) -> int:
        """The exit code; all that the command has shown by its end is in `shown`."""
        wait_for(lambda: self._read(0.02) or self._is_hung_up, "the command to end")
        return self.process.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.file)

    def _read(self, seconds: float) -> None:
        if select.select([self.file], [], [], seconds)[0]:
            try:
                self.shown += os.read(self.file, 65536)
            except OSError:  # nobody has the other side open any more
                self._is_hung_up = True


@contextmanager
def at_terminal(
    environment: Mapping[str, str], *words: str, is_controlling: bool = True
) -> Iterator[AtTerminal]:
    """`is_controlling`: signals of the terminal come to the command, of its size for one."""
    terminal = AtTerminal(environment, *words, is_controlling=is_controlling)
    try:
        yield terminal
    finally:
        terminal.close()
