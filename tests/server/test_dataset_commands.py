"""`agent dataset` against a server with its blobs in files and in a bucket: what goes up comes down, also after a kill -9."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from server.dataset_words import Pusher, digest_of
from server.vocabulary import ServerProcess

from agent.cli.client import Client, connect_from_job
from agent.cli.dataset.folder_scan import scan_folder
from agent.cli.main import run_command
from agent.errors import UsageError

_numbers = itertools.count()
# Kills itself, hard, when the method METHOD of the client is called for the NTH time; one transfer at a time.
DYING = """
import os, sys
from agent.cli import transfers
from agent.cli.client import Client, connect_from_job
from agent.cli.main import run_command
method, nth, *words = sys.argv[1:]
transfers.do_all.__defaults__ = (1,)
real, calls = getattr(Client, method), []
def counted(self, *arguments):
    calls.append(arguments)
    if len(calls) == int(nth):
        os.kill(os.getpid(), 9)
    return real(self, *arguments)
setattr(Client, method, counted)
run_command(words)
"""


@pytest.fixture(scope="module", params=["disk", "bucket"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """A server with its blobs in files, and one with a bucket that clients read themselves."""
    blobs_url = request.getfixturevalue("s3").blobs_url() if request.param == "bucket" else ""
    process = ServerProcess(tmp_path_factory.mktemp("server") / "data", blobs_url=blobs_url)
    yield process
    process.stop()


@pytest.fixture
def name(server: ServerProcess) -> str:
    return f"images-{next(_numbers)}"


@pytest.fixture
def agent(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command of `agent dataset`: exit code, output, errors."""

    def run(*words: object) -> tuple[int, str, str]:
        code = run_command(["dataset", *map(str, words), "--url", server.url, "--token", server.token])
        done = capsys.readouterr()
        return code, done.out, done.err

    return run


@pytest.fixture
def folder(tmp_path: Path, name: str) -> Path:
    """A folder with what folders have, and contents that no other test has."""
    made, own = tmp_path / "data", name.encode()
    image = b"\x89PNG" * 100 + own
    write(made, {"labels.csv": b"a,b" + own, "images/1.png": image, "images/copy.png": image})
    write(made, {"empty": b"", ".hidden/größe 模型": b"x" + own, "run.sh": b"#!/bin/sh" + own})
    (made / "run.sh").chmod(0o755)
    return made


def write(folder: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def read(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode & 0o100)
        for path in folder.rglob("*")
        if path.is_file()
    }


def die(server: ServerProcess, method: str, nth: int, *words: object) -> None:
    """Run a command of `agent dataset` that dies by SIGKILL at the `nth` call of the client's `method`."""
    command = [sys.executable, "-c", DYING, method, str(nth), "dataset", *map(str, words)]
    done = subprocess.run([*command, "--url", server.url, "--token", server.token], check=False)
    assert done.returncode == -signal.SIGKILL


def test_a_folder_comes_back_as_it_was(agent: Any, name: str, folder: Path, tmp_path: Path) -> None:
    code, _, err = agent("push", folder, name, "--create", "--message", "first", "--tag", "best")
    assert code == 0, err
    assert f"{name}:1: 6 files" in err
    for ref, place in ((name, "one"), (f"{name}:best", "two"), (f"{name}:1", "three")):
        code, _, err = agent("pull", ref, tmp_path / "pulled" / place)
        assert code == 0, err
        assert read(tmp_path / "pulled" / place) == read(folder)
    assert sorted(path.name for path in (tmp_path / "pulled").iterdir()) == ["one", "three", "two"]


def test_what_was_not_changed_is_not_sent_again(agent: Any, name: str, folder: Path) -> None:
    first = json.loads(agent("push", folder, name, "--create", "--format", "json")[1])
    copied = (folder / "images" / "copy.png").stat().st_size
    assert (first["is_new"], first["sent_bytes"]) == (True, first["size_bytes"] - copied)
    same = agent("push", folder, name)
    assert f"{name}:1 has these files already: no new version" in same[2]
    (folder / "labels.csv").write_bytes(b"new%d" % next(_numbers))
    second = json.loads(agent("push", folder, name, "--metadata", "epochs=3", "--format", "json")[1])
    assert (second["version"], second["sent_bytes"], second["metadata"]) == (
        2,
        (folder / "labels.csv").stat().st_size,
        {"epochs": "3"},
    )
    always = json.loads(agent("push", folder, name, "--always", "--format", "json")[1])
    assert (always["version"], always["is_new"], always["sent_bytes"]) == (3, True, 0)


def test_a_push_that_is_killed_sends_only_the_rest(
    server: ServerProcess, agent: Any, name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "many"
    write(folder, {f"{number}.bin": b"%d" % (number + 100) * 7 + name.encode() for number in range(5)})
    assert agent("create", name)[0] == 0
    die(server, "send", 3, "push", folder, name)
    assert json.loads(agent("show", name, "--format", "json")[1])["versions"] == []
    done = json.loads(agent("push", folder, name, "--format", "json")[1])
    assert done["version"] == 1
    assert done["sent_bytes"] == done["size_bytes"] // 5 * 3


def test_a_pull_that_is_killed_goes_on_where_it_was(
    server: ServerProcess, agent: Any, name: str, tmp_path: Path
) -> None:
    files = {f"{number}.bin": b"%d" % (number + 200) * 9 + name.encode() for number in range(4)}
    Pusher(server.api, name).push(files)
    target = tmp_path / "pulled"
    die(server, "fetch", 3, "pull", name, target)
    assert not target.exists()
    done = json.loads(agent("pull", name, target, "--format", "json")[1])
    assert done["received_bytes"] == done["size_bytes"] // 2
    assert {path: content for path, (content, _) in read(target).items()} == files
    assert [path.name for path in tmp_path.iterdir()] == ["pulled"]


def test_half_a_file_is_not_fetched_again(
    server: ServerProcess, agent: Any, name: str, tmp_path: Path
) -> None:
    content = os.urandom(300_000)
    Pusher(server.api, name).push({"big.bin": content})
    parts = tmp_path / ".pulled.pulling" / "parts"
    parts.mkdir(parents=True)
    (parts / digest_of(content)[7:]).write_bytes(content[:100_000])
    done = json.loads(agent("pull", name, tmp_path / "pulled", "--format", "json")[1])
    assert done["received_bytes"] == 200_000
    assert (tmp_path / "pulled" / "big.bin").read_bytes() == content


def test_a_part_that_is_wrong_is_fetched_anew(
    server: ServerProcess, agent: Any, name: str, tmp_path: Path
) -> None:
    content = os.urandom(1000)
    Pusher(server.api, name).push({"big.bin": content})
    parts = tmp_path / ".pulled.pulling" / "parts"
    parts.mkdir(parents=True)
    (parts / digest_of(content)[7:]).write_bytes(b"torn" * 50)
    assert agent("pull", name, tmp_path / "pulled")[0] == 0
    assert (tmp_path / "pulled" / "big.bin").read_bytes() == content


def test_tables_and_lineage_are_shown(server: ServerProcess, agent: Any, name: str, folder: Path) -> None:
    assert agent("create", name, "--description", "street scenes")[0] == 0
    agent("push", folder, name, "--message", "new labels", "--tag", "best")
    assert "street scenes" in agent("list")[1]
    shown = agent("show", name)[1]
    assert "new labels" in shown
    assert "best" in shown
    files = agent("show", f"{name}:best")[1]
    assert "images/1.png" in files
    server_words = ("--url", server.url, "--token", server.token)
    assert run_command(["tag", "add", "checked", "--dataset", f"{name}:1", *server_words]) == 0
    assert "checked" in agent("show", name)[1]
    assert run_command(["tag", "delete", "checked", "--dataset", f"{name}:checked", *server_words]) == 0
    assert "checked" not in agent("show", name)[1]
    assert f"{name}:1 was made by admin" in agent("lineage", name)[1]
    assert agent("lineage")[0] == 2
    assert agent("delete", f"{name}:1")[0] == 0
    assert agent("show", f"{name}:1")[0] == 1
    assert agent("delete", name)[0] == 0
    code, _, err = agent("push", folder, name)
    assert code == 1
    assert f"there is no dataset '{name}'" in err


def test_a_folder_that_is_not_empty_is_left_alone(
    server: ServerProcess, agent: Any, name: str, tmp_path: Path
) -> None:
    Pusher(server.api, name).push({"a": b"1"})
    write(tmp_path / "mine", {"b": b"2"})
    code, _, err = agent("pull", name, tmp_path / "mine")
    assert code == 2
    assert "not empty" in err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["b"]
    (tmp_path / "none").mkdir()
    assert agent("pull", name, tmp_path / "none")[0] == 0


def test_bytes_that_are_not_the_files_make_no_folder(
    server: ServerProcess, agent: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Pusher(server.api, name).push({"a": b"the right bytes"})
    monkeypatch.setattr(Client, "fetch", lambda _self, _path, _start=0: iter([(0, b"the WRONG bytes")]))
    code, _, err = agent("pull", name, tmp_path / "pulled")
    assert code == 1
    assert "are not the file's" in err
    assert not (tmp_path / "pulled").exists()


@pytest.mark.parametrize("path", ["../escaped", "/tmp/escaped", "a/../../escaped"])
def test_a_server_can_not_write_outside_of_the_folder(
    server: ServerProcess,
    agent: Any,
    name: str,
    tmp_path: Path,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Pusher(server.api, name).push({"a": b"1"})
    entry = {"path": path, "size_bytes": 1, "digest": digest_of(b"1"), "mode": "644"}
    monkeypatch.setattr(Client, "list_all", lambda _self, _path, _key, **_more: [entry])
    code, _, err = agent("pull", name, tmp_path / "pulled")
    assert code == 2
    assert "does not stay in the dataset" in err
    assert not (tmp_path / "escaped").exists()


def test_links_planted_where_files_are_to_come_are_not_followed(
    server: ServerProcess, agent: Any, name: str, tmp_path: Path
) -> None:
    Pusher(server.api, name).push({"sub/a": b"1", "b": b"2"})
    outside = tmp_path / "outside"
    outside.mkdir()
    tree = tmp_path / ".pulled.pulling" / "tree"
    tree.mkdir(parents=True)
    (tree / "sub").symlink_to(outside)
    (tree / "b").symlink_to(outside / "b")
    assert agent("pull", name, tmp_path / "pulled")[0] == 0
    assert list(outside.iterdir()) == []
    assert not (tmp_path / "pulled" / "sub").is_symlink()
    (tmp_path / ".more.pulling").symlink_to(outside)
    assert agent("pull", name, tmp_path / "more")[0] == 2


def test_links_are_told_not_lost(tmp_path: Path) -> None:
    write(tmp_path / "data", {"a": b"1"})
    (tmp_path / "data" / "link").symlink_to("a")
    with pytest.raises(UsageError, match="symbolic link") as told:
        scan_folder(tmp_path / "data")
    assert "--follow-links" in told.value.hint
    assert [file.path for file in scan_folder(tmp_path / "data", follows_links=True)] == ["a", "link"]
    (tmp_path / "data" / "loop").symlink_to(".")
    with pytest.raises(UsageError, match="leads back"):
        scan_folder(tmp_path / "data", follows_links=True)
    (tmp_path / "data" / "loop").unlink()
    (tmp_path / "data" / "broken").symlink_to("nothing")
    with pytest.raises(UsageError, match="leads nowhere"):
        scan_folder(tmp_path / "data", follows_links=True)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        scan_folder(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no files"):
        scan_folder(tmp_path / "empty")
    os.mkfifo(tmp_path / "empty" / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        scan_folder(tmp_path / "empty")


def test_in_a_job_the_jobs_own_server_and_token_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACTIONS_RESULTS_URL", "http://flows.example/")
    monkeypatch.setenv("ACTIONS_RUNTIME_TOKEN", "a.b.c")

    def url(**said: str) -> str:
        with closing(connect_from_job(**said)) as client:
            return client.url

    assert url() == "http://flows.example"
    assert url(url="http://other.example", token="t") == "http://other.example"
    monkeypatch.setenv("AGENT_URL", "http://said.example")
    monkeypatch.setenv("AGENT_TOKEN", "said")
    assert url() == "http://said.example"
