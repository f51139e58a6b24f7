"""A large snapshot is asked about before it is sent, and what is large in it is named."""

import io
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from server.vocabulary import ServerProcess
from support.git import make_repository

from agent.cli.client import Client
from agent.cli.flow import snapshot
from agent.cli.flow.snapshot import Care, find_largest, send_snapshot
from agent.cli.flow.source import SnapshotFile
from agent.errors import AgentError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("server") / "data")
    yield process
    process.stop()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with closing(Client(server.url, server.token)) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "repository"
    make_repository(top, {"train.py": "x", "data/big.bin": "y" * 9000, "data/small.bin": "z" * 800})
    return top


def put(monkeypatch: pytest.MonkeyPatch, answers: io.StringIO, out: io.StringIO) -> None:
    monkeypatch.setattr(snapshot.sys, "stdin", answers)
    monkeypatch.setattr(snapshot.sys, "stderr", out)


def has(client: Client, digest: str) -> bool:
    return client.has(f"/api/v1/snapshots/{digest}")


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "what\n"])
def test_nothing_is_sent_unless_somebody_says_yes(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    out = Terminal()
    put(monkeypatch, Terminal(answer), out)
    sent: list[str] = []
    monkeypatch.setattr(Client, "send", lambda _self, path, *_more: sent.append(path))
    with pytest.raises(AgentError, match="nothing was sent") as refused:
        send_snapshot(client, folder, Care(limit_bytes=5000))
    assert (sent, refused.value.exit_code) == ([], 1)
    assert (
        "has 3 files, 9.6 KiB; the largest: data/big.bin 8.8 KiB, data/small.bin 800 bytes" in out.getvalue()
    )
    assert ".gitignore" in out.getvalue()
    assert "--exclude" in out.getvalue()


def test_a_yes_sends_it(client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, Terminal("y\n"), Terminal())
    assert has(client, send_snapshot(client, folder, Care(limit_bytes=5000)))


def test_a_small_one_is_not_asked_about(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    put(monkeypatch, Terminal(""), out)
    for care in (
        Care(limit_bytes=100_000),
        Care(limit_bytes=None),
        Care(excluded=("*.bin",), limit_bytes=5000),
    ):
        assert has(client, send_snapshot(client, folder, care))
    assert out.getvalue() == ""


def test_where_nobody_can_answer_it_is_said_and_sent(
    client: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    put(monkeypatch, io.StringIO("n\n"), out)
    assert has(client, send_snapshot(client, folder, Care(limit_bytes=5000)))
    assert out.getvalue().startswith("agent: warning: the snapshot of ")
    assert out.getvalue().count("\n") == 1


def test_what_is_large_is_named_by_the_part_that_makes_it_so() -> None:
    images = [SnapshotFile(f"data/images/{number}.png", 10) for number in range(100)]
    files = [
        *images,
        SnapshotFile("data/labels.csv", 20),
        SnapshotFile("models/a/b/weights.bin", 5000),
        SnapshotFile("tiny", 1),
        *(SnapshotFile(f"part{number}", 100) for number in range(9)),
    ]
    assert find_largest(files) == [
        ("models/a/b/weights.bin", 5000),
        ("data/images/", 1000),
        ("part8", 100),
        ("part7", 100),
        ("part6", 100),
    ]
    assert find_largest([]) == []
