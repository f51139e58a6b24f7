"""Transfers: tried again while that helps, ended by the first failure, and shown on terminals only."""

import io
import threading

import pytest

from agent.cli.client import BusyError
from agent.cli.terminal.progress import Progress, size_text
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


def test_progress_says_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    now, terminal = [0.0], Terminal()
    with Progress("push", 100 << 20, terminal, lambda: now[0]) as progress:
        assert "left" not in progress.line()
        for now[0] in range(1, 11):
            progress.add(2 << 20)
        assert progress.line().endswith("20%  20.0 MiB of 100.0 MiB  2.0 MiB/s  40s left")
        for now[0] in range(11, 14):
            progress.add(20 << 20)  # faster now: the last seconds count
        assert progress.line().endswith("20.0 MiB/s  1s left") or "MiB/s  2s left" in progress.line()
        now[0] = 100.0
        progress.add(0)
        now[0] = 101.0
        progress.add(0)
        assert progress.line().endswith("stalled")


def test_progress_is_never_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    now, terminal = [0.0], Terminal()
    with Progress("a long name " * 9, 100, terminal, lambda: now[0]) as progress:
        for now[0] in range(5):
            progress.add(1)
    lines = terminal.getvalue().replace("\x1b[K", "").split("\r")
    assert all(len(line) < 40 for line in lines)


def test_where_no_terminal_is_a_long_transfer_says_a_line_now_and_then() -> None:
    now, file = [0.0], io.StringIO()
    with Progress("push", 100 << 20, file, lambda: now[0]) as progress:
        for now[0] in range(46):
            progress.add(1 << 20)
    lines = file.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[0] == "push: 16.0 MiB of 100.0 MiB"
    assert lines[1] == "push: 31.0 MiB of 100.0 MiB  1.0 MiB/s  1m 09s left"
    quiet = io.StringIO()
    with Progress("push", 1, quiet, lambda: now[0], shown=False) as progress:
        now[0] += 1000
        progress.add(1)
    assert quiet.getvalue() == ""
