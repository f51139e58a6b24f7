"""Each command that moves many bytes shows on a terminal how far it is; where programs read, it shows nothing."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from server.vocabulary import ServerProcess
from support.commands import clients_closed

from agent.cli.main import run_command

pytestmark = pytest.mark.store("sqlite")
FLOW = "on: workflow_dispatch\njobs:\n  train:\n    runs-on: linux\n    steps:\n      - run: echo hello\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def say(server: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Run a command in a folder with files; what it wrote on the terminal of its errors."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.yml").write_text(FLOW)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "numbers.bin").write_bytes(b"1" * 100_000)

    def run(*words: object) -> str:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        with clients_closed():
            code = run_command([*map(str, words), "--url", server.url, "--token", server.token])
        assert code == 0, terminal.getvalue()
        return terminal.getvalue()

    return run


def check(written: str, *parts: str) -> None:
    """Each part has a bar of its own, and nothing is left of them."""
    for part in parts:
        assert f"\r{part}  [" in written, written
    assert "[" not in written.rpartition("\r\x1b[K")[2], written


@pytest.mark.usefixtures("server")
def test_a_submission_shows_how_far_it_is(say: Callable[..., str]) -> None:
    submit = ("flow", "submit", "flow.yml", "--source", "snapshot")
    check(say(*submit), "pack", "send")
    assert say(*submit, "--format", "json") == ""


def test_artifacts_show_how_far_they_are(say: Callable[..., str], server: ServerProcess) -> None:
    run = server.submit()
    check(say("artifact", "upload", run, "data/numbers.bin"), "numbers.bin")
    check(say("artifact", "download", run, "--dir", "one"), "numbers.bin")
    check(say("run", "download", run, "--dir", "two"), "numbers.bin")
    assert say("artifact", "download", run, "--dir", "three", "--format", "json") == ""


def test_data_sets_show_how_far_they_are(say: Callable[..., str]) -> None:
    check(say("dataset", "push", "data", "numbers", "--create"), "read", "push")
    check(say("dataset", "pull", "numbers", "back"), "pull")
    assert say("dataset", "pull", "numbers", "again", "--format", "json") == ""
