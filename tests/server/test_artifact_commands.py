"""`agent artifact` against a server: what was kept comes back as files, whole or not at all, and over nobody's own."""

import io
import json
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from server.vocabulary import ServerProcess
from support.commands import clients_closed
from support.cutting import cutting_line

from agent.cli.artifact import upload_artifact
from agent.cli.client import Client
from agent.cli.main import run_command

FILES = {"model.json": b"{}", "logs/one.txt": b"1" * 1000}


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
def run(server: ServerProcess) -> int:
    return server.submit()


@pytest.fixture
def agent(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command of `agent artifact`: exit code, output, errors."""

    def call(*words: object, url: str = "") -> tuple[int, str, str]:
        where = ["--url", url or server.url, "--token", server.token]
        with clients_closed():
            code = run_command(["artifact", *map(str, words), *where])
        done = capsys.readouterr()
        assert "a bug in the agent" not in done.err
        return code, done.out, done.err

    return call


def make_zip(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return made.getvalue()


def keep(
    server: ServerProcess, run: int, name: str, content: bytes, mime_type: str = "application/zip"
) -> None:
    answer = server.http.put(
        f"/api/v1/runs/{run}/artifacts/{name}",
        content=content,
        headers={"Authorization": f"Bearer {server.token}", "Content-Type": mime_type},
    )
    assert answer.is_success, answer.text


def read(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_artifacts_become_folders_and_files(
    server: ServerProcess, run: int, agent: Any, tmp_path: Path
) -> None:
    keep(server, run, "model", make_zip(FILES))
    keep(server, run, "report.html", b"<p>", "text/html")
    code, out, err = agent("download", run, "--dir", tmp_path / "out")
    assert code == 0, err
    assert read(tmp_path / "out" / "model") == FILES
    assert (tmp_path / "out" / "report.html").read_bytes() == b"<p>"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model", "report.html"]
    assert f"{tmp_path / 'out' / 'model'}  2 files, " in out
    assert "2 artifacts, " in out
    where = ["--dir", str(tmp_path / "again"), "--url", server.url, "--token", server.token]
    with clients_closed():
        assert run_command(["run", "download", str(run), *where]) == 0
    assert read(tmp_path / "again" / "model") == FILES


def test_a_zip_stays_one_when_that_is_asked_for(
    server: ServerProcess, run: int, agent: Any, tmp_path: Path
) -> None:
    content = make_zip(FILES)
    keep(server, run, "model", content)
    keep(server, run, "report.html", b"<p>", "text/html")
    code, out, _ = agent("download", run, "--dir", tmp_path, "--zip", "--format", "json")
    assert code == 0
    assert json.loads(out) == [str(tmp_path / "model.zip"), str(tmp_path / "report.html")]
    assert read(tmp_path) == {"model.zip": content, "report.html": b"<p>"}
    assert agent("download", run, "model", "--dir", tmp_path, "--keep-zip", "--force")[0] == 0


def test_a_file_that_is_there_is_left_alone(
    server: ServerProcess, run: int, agent: Any, tmp_path: Path
) -> None:
    keep(server, run, "early", make_zip(FILES))
    keep(server, run, "model", make_zip(FILES))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine").write_text("mine")
    code, _, err = agent("download", run, "--dir", tmp_path)
    assert code == 2
    assert f"it is there already, and nothing was downloaded ({tmp_path / 'model'})" in err
    assert read(tmp_path) == {"model/mine": b"mine"}
    keep(server, run, "flat", b"new", "text/plain")
    (tmp_path / "flat").write_text("mine")
    assert agent("download", run, "flat", "--dir", tmp_path)[0] == 2
    assert (tmp_path / "flat").read_text() == "mine"
    assert agent("download", run, "flat", "--dir", tmp_path, "--force")[0] == 0
    assert (tmp_path / "flat").read_text() == "new"


def test_an_empty_folder_is_no_hindrance(server: ServerProcess, run: int, agent: Any, tmp_path: Path) -> None:
    keep(server, run, "model", make_zip(FILES))
    (tmp_path / "model").mkdir()
    assert agent("download", run, "--dir", tmp_path)[0] == 0
    assert read(tmp_path / "model") == FILES


def test_force_writes_over_files_of_the_same_name_and_keeps_the_others(
    server: ServerProcess, run: int, agent: Any, tmp_path: Path
) -> None:
    keep(server, run, "model", make_zip(FILES))
    (tmp_path / "model" / "logs").mkdir(parents=True)
    (tmp_path / "model" / "logs" / "mine").write_text("mine")
    (tmp_path / "model" / "model.json").write_text("old")
    assert agent("download", run, "model", "--dir", tmp_path, "--force")[0] == 0
    assert read(tmp_path / "model") == {**FILES, "logs/mine": b"mine"}


@pytest.mark.parametrize("planted", ["model", "model/logs", "model/model.json"])
def test_force_goes_through_no_link(
    server: ServerProcess, run: int, agent: Any, tmp_path: Path, planted: str
) -> None:
    keep(server, run, "model", make_zip(FILES))
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    (outside / "model.json").write_text("mine")
    (out / planted).parent.mkdir(parents=True)
    (out / planted).symlink_to(outside / "model.json" if planted.endswith("json") else outside)
    code, _, _ = agent("download", run, "model", "--dir", out, "--force")
    assert read(outside) == {"model.json": b"mine"}
    assert code == (0 if planted.endswith("json") else 2)


@pytest.mark.parametrize(
    "name", ["../escaped", "/tmp/escaped", "a/../../escaped", "..\\escaped", "C:\\escaped", "a//b", "a\x1bb"]
)
def test_a_zip_of_a_stranger_stays_in_its_folder(
    server: ServerProcess, run: int, agent: Any, tmp_path: Path, name: str
) -> None:
    keep(server, run, "model", make_zip({"good": b"1", name: b"2"}))
    out = tmp_path / "out"
    code, _, err = agent("download", run, "--dir", out)
    assert code == 1
    assert "can't be unpacked" in err
    assert list(out.iterdir()) == []
    assert not (tmp_path / "escaped").exists()
    assert agent("download", run, "--dir", out, "--zip")[0] == 0


@pytest.mark.parametrize("content", [b"no zip at all", make_zip(FILES)[:-30]])
def test_a_damaged_zip_leaves_nothing_behind(
    server: ServerProcess, run: int, agent: Any, tmp_path: Path, content: bytes
) -> None:
    keep(server, run, "model", content)
    code, _, err = agent("download", run, "--dir", tmp_path)
    assert (code, "the archive is damaged" in err) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_not_the_artifacts_make_no_folder(
    server: ServerProcess, run: int, agent: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(server, run, "model", make_zip(FILES))
    monkeypatch.setattr(Client, "fetch", lambda _self, _path, _start=0: iter([(0, b"other bytes")]))
    code, _, err = agent("download", run, "--dir", tmp_path)
    assert (code, "are not the artifact's" in err) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_nothing_can_be_written_is_said(
    server: ServerProcess, run: int, agent: Any
) -> None:
    keep(server, run, "model", make_zip(FILES))
    code, _, err = agent("download", run, "--dir", "/proc/1")
    assert (code, "it can't be written" in err) == (1, True)


def test_a_download_that_is_cut_goes_on_where_it_was(
    server: ServerProcess, run: int, agent: Any, tmp_path: Path
) -> None:
    content = os.urandom(3 << 20)
    keep(server, run, "big", content, "application/octet-stream")
    with cutting_line(server.url, after_bytes=2 << 20, cuts=1) as line:
        code, _, err = agent("download", run, "--dir", tmp_path, url=line.url)
    assert code == 0, err
    assert (tmp_path / "big").read_bytes() == content
    if not line.cuts:  # a bucket is read past the line
        assert any(b"Range: bytes=" in request or b"range: bytes=" in request for request in line.requests)


def test_a_file_becomes_an_artifact_and_says_so(
    server: ServerProcess, run: int, agent: Any, tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_bytes(b"<p>")
    code, out, err = agent("upload", run, tmp_path / "report.html", "--format", "json")
    assert code == 0, err
    assert json.loads(out)["name"] == "report.html"
    code, _, err = agent("upload", run, tmp_path / "report.html")
    assert code == 1
    assert agent("upload", run, tmp_path / "report.html", "--overwrite")[0] == 0
    assert agent("download", run, "--dir", tmp_path / "out")[0] == 0
    assert read(tmp_path / "out") == {"report.html": b"<p>"}


def test_an_upload_whose_answer_is_lost_is_there_once(
    server: ServerProcess, run: int, tmp_path: Path
) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100)
    with (
        cutting_line(server.url, after_bytes=0, cuts=1) as line,
        closing(Client(line.url, server.token)) as client,
    ):
        upload_artifact(client, run, tmp_path / "f", "f")
        assert line.cuts == 0
        assert [one["name"] for one in client.list_all(f"/api/v1/runs/{run}/artifacts", "artifacts")] == ["f"]


def test_what_stands_in_the_way_of_an_upload_is_said_in_the_commands_words(
    run: int, agent: Any, tmp_path: Path
) -> None:
    (tmp_path / "d").mkdir()
    code, _, said = agent("upload", run, tmp_path / "d")
    assert code == 2
    assert "one file, and this is a folder" in said
    (tmp_path / "f").write_text("x")
    assert agent("upload", run, tmp_path / "f", "--name", "twice")[0] == 0
    (tmp_path / "f").write_text("y")
    code, _, said = agent("upload", run, tmp_path / "f", "--name", "twice")
    assert code == 1
    assert "overwrite it with --overwrite" in said
