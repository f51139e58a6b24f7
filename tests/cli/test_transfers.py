"""Transfers: tried again while that helps, ended by the first failure, and shown on terminals only."""

import io
import threading

import pytest

from agent.cli.client import BusyError
from agent.cli.progress import Progress, size_text
from agent.cli.transfers import DELAYS_SECONDS, do_all, try_patiently
from agent.errors import InterruptedByUserError, RefusedError, UnreachableError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_may_work_later_is_tried_again_and_nothing_else() -> None:
    pauses: list[float] = []
    failures = iter([UnreachableError("away"), BusyError("busy", retry_seconds=7.0)])

    def work() -> str:
        for failure in failures:
            raise failure
        return "done"

    assert try_patiently(work, pauses.append) == "done"
    assert pauses == [DELAYS_SECONDS[0], 7.0]

    def refuse() -> None:
        raise RefusedError("no")

    with pytest.raises(RefusedError):
        try_patiently(refuse, pauses.append)
    assert len(pauses) == 2


def test_patience_ends() -> None:
    pauses: list[float] = []

    def work() -> None:
        raise UnreachableError("away")

    with pytest.raises(UnreachableError):
        try_patiently(work, pauses.append)
    assert pauses == list(DELAYS_SECONDS)


def test_the_first_failure_ends_the_others() -> None:
    stopping, out = threading.Event(), io.StringIO()
    progress = Progress("push", 10, out, lambda: 0.0)
    progress.stopping = stopping
    began = threading.Event()

    def work(number: int) -> None:
        if number == 0:
            began.wait()
            raise RefusedError("no")
        began.set()
        while True:  # as a transfer does: piece by piece
            progress.add(1)

    with pytest.raises(RefusedError, match="no"):
        do_all(work, range(100), stopping, at_once=2)
    with pytest.raises(InterruptedByUserError):
        progress.add(1)


def test_progress_is_one_line_on_a_terminal_and_nothing_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    times = iter([0.0, 0.05, 1.0, 2.0])
    terminal, file = Terminal(), io.StringIO()
    with Progress("push", 4 << 20, terminal, lambda: next(times)) as progress:
        progress.add(1)
        progress.add(1 << 20)
    shown = terminal.getvalue()
    assert shown.count("\r") == 3  # the beginning, a second later, and taken away
    assert "25%  1.0 MiB of 4.0 MiB" in shown
    assert shown.endswith("\r\x1b[K")
    with Progress("push", 1, file, lambda: 0.0) as progress:
        progress.add(1)
    assert file.getvalue() == ""


def test_sizes_are_written_for_people() -> None:
    assert [size_text(size) for size in (0, 1023, 1024, 5 << 20, 3 << 40, 9 << 50)] == [
        *("0 bytes", "1023 bytes", "1.0 KiB", "5.0 MiB", "3.0 TiB", "9216.0 TiB"),
    ]
