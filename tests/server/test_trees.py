"""Artifacts that are stored by content: the bundled actions as processes, against a real server, on both kinds of store."""

import hashlib
import io
import json
import os
import random
import signal
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from server.toolkit_job import Job, block_url
from server.vocabulary import ServerProcess, wait_for
from support.action_step import Step
from support.commands import clients_closed

from agent.cli.main import run_command
from agent.config import bundled
from agent.job.runtimes.interpreters import find_libraries
from agent.server.backup import make_backup, restore_backup

Servers = Callable[..., ServerProcess]
MIB = 1 << 20
DAY = 86_400.0


@pytest.fixture(scope="module")
def server(blob_server: ServerProcess) -> ServerProcess:
    """A server whose blobs are files, and one whose blobs lie in a bucket."""
    return blob_server


@pytest.fixture
def job(server: ServerProcess) -> Iterator[Job]:
    running = Job(server, f"trees-{uuid4()}")
    yield running
    running.end()


@pytest.fixture
def step(job: Job, tmp_path: Path) -> Step:
    """A step of the job."""
    return step_of(job, tmp_path / "job")


def step_of(job: Job, folder: Path) -> Step:
    step = Step(folder, job.server.url, job.token)
    temporary = folder / "temp"
    temporary.mkdir()
    step.environment["RUNNER_TEMP"] = str(temporary)
    step.environment |= find_libraries(bundled("actions") / "upload-artifact")
    return step


def upload(step: Step, name: str, path: str = "out", **more: object) -> str:
    """Upload, and what the log says."""
    done = step.run("upload-artifact", name=name, path=path, **more)
    assert done.code == 0, done.log
    return done.log


def download(step: Step, name: str, path: str = "in") -> str:
    done = step.run("download-artifact", name=name, path=path)
    assert done.code == 0, done.log
    return done.log


def noise(size: int) -> bytes:
    return random.randbytes(size)


def stored_bytes(server: ServerProcess) -> int:
    """What all packs of the server have."""
    (row,) = server.sql("SELECT coalesce(sum(size_bytes), 0) FROM packs")
    return int(row[0])


def facts(root: Path) -> dict[bytes, object]:
    """All that is below a folder: modes with contents, and where links lead."""
    found: dict[bytes, object] = {}
    for path in root.rglob("*"):
        mode = path.lstat().st_mode & 0o777
        if path.is_symlink():
            found[os.fsencode(path.relative_to(root))] = path.readlink()
        else:
            found[os.fsencode(path.relative_to(root))] = mode if path.is_dir() else (mode, path.read_bytes())
    return found


def test_a_tree_comes_back_as_it_was_with_modes_links_empty_things_and_any_bytes_in_names(step: Step) -> None:
    step.put("out/model.bin", noise(3 * MIB))
    step.put("out/run.sh", "#!/bin/sh").chmod(0o755)
    step.put("out/private", "x").chmod(0o600)
    step.put("out/read-only", "x").chmod(0o444)
    step.put("out/large-read-only", noise(3 * MIB)).chmod(0o440)
    step.put("out/none", "")
    step.put("out/deep/er/metrics.json", "{}")
    (step.workspace / "out" / "empty").mkdir(0o755)
    (step.workspace / "out" / "latest").symlink_to("model.bin")
    (step.workspace / "out" / "deep" / "up").symlink_to("../run.sh")
    (step.workspace / "out" / "folder").symlink_to("deep/er")
    (Path(os.fsdecode(os.fsencode(step.workspace) + b"/out/caf\xe9.txt"))).write_text("latin")
    step.put("out/żółw 🐢.txt", "turtle")
    log = upload(step, "all")
    assert "a mistake in this action" not in log
    download(step, "all")
    assert facts(step.workspace / "in") == facts(step.workspace / "out")


def test_what_the_server_has_is_not_sent_again(server: ServerProcess, step: Step) -> None:
    contents = [noise(4 * MIB) for _ in range(4)]
    for index, content in enumerate(contents):
        step.put(f"out/{index}", content)
    upload(step, "first")
    before = stored_bytes(server)
    changed = bytearray(contents[2])
    changed[MIB : MIB + 1000] = noise(1000)
    step.put("out/2", bytes(changed))
    assert " of it were on the server" in upload(step, "second")
    assert stored_bytes(server) - before < 3 * MIB
    before = stored_bytes(server)
    step.put("out/2", b"in front" + bytes(changed))  # all of it moves
    upload(step, "third")
    assert stored_bytes(server) - before < 3 * MIB
    download(step, "second", "second")
    assert (step.workspace / "second" / "2").read_bytes() == changed
    assert (step.workspace / "second" / "3").read_bytes() == contents[3]


def test_of_one_large_file_that_was_changed_its_change_is_sent_and_what_is_not_here_any_more(
    server: ServerProcess, job: Job, step: Step
) -> None:
    content = bytearray(noise(32 * MIB))
    path = step.put("out/model.bin", bytes(content))
    upload(step, "before")
    before = stored_bytes(server)
    content[5 * MIB : 5 * MIB + 1000] = noise(1000)
    content[20 * MIB : 20 * MIB] = b"in between"
    path.write_bytes(content)
    upload(step, "after")
    assert stored_bytes(server) - before < 12 * MIB
    download(step, "after")
    assert (step.workspace / "in" / "model.bin").read_bytes() == content
    for name in ("before", "after"):
        assert job.call("DeleteArtifact", name=name).status_code == 200
    server.sql("DELETE FROM chunks")  # as the sweep does, a day later
    content[7 * MIB] ^= 1
    path.write_bytes(content)
    upload(step, "again")
    download(step, "again", "again")
    assert (step.workspace / "again" / "model.bin").read_bytes() == content


def test_a_file_that_is_changed_within_a_tick_of_the_clock_is_seen_to_be(step: Step) -> None:
    path = step.put("out/a", noise(MIB))
    upload(step, "before")
    facts = path.stat()
    content = noise(MIB)
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as if nothing had happened
    upload(step, "after")
    download(step, "after")
    assert (step.workspace / "in" / "a").read_bytes() == content


def test_ten_thousand_small_files_are_a_handful_of_chunks(server: ServerProcess, step: Step) -> None:
    for number in range(3000):
        step.put(f"out/{number % 30}/{number}", f"{number}\n" * 40)
    (before,) = server.sql("SELECT count(*) FROM chunks")
    upload(step, "many")
    (after,) = server.sql("SELECT count(*) FROM chunks")
    assert int(after[0]) - int(before[0]) < 30
    download(step, "many")
    assert facts(step.workspace / "in") == facts(step.workspace / "out")


def test_githubs_protocol_gives_a_zip_of_it(job: Job, step: Step) -> None:
    step.put("out/a.txt", "text")
    step.put("out/big", noise(3 * MIB)).chmod(0o755)
    step.put("out/empty", "")
    (step.workspace / "out" / "link").symlink_to("a.txt")
    upload(step, "tree")
    (listed,) = job.call("ListArtifacts").json()["artifacts"]
    assert "digest" not in listed  # nobody has hashed a zip that is not made yet
    answer = job.fetch("tree")
    assert answer.headers["content-type"] == "application/zip"
    assert len(answer.content) == int(answer.headers["content-length"])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["a.txt", "big", "empty", "link"]
        assert archive.read("link") == b"text"  # GitHub's clients follow links
        assert archive.read("big") == (step.workspace / "out" / "big").read_bytes()


def test_people_get_a_zip_of_it_with_its_links(server: ServerProcess, job: Job, step: Step) -> None:
    step.put("out/a.txt", "text").chmod(0o750)
    (step.workspace / "out" / "link").symlink_to("a.txt")
    (Path(os.fsdecode(os.fsencode(step.workspace) + b"/out/caf\xe9.txt"))).write_text("latin")
    upload(step, "tree")
    (shown,) = server.api.get(f"/runs/{job.run}/artifacts").json()["artifacts"]
    assert (shown["digest"], shown["tree"][:7]) == ("", "sha256:")
    down = server.api.get(f"/artifacts/{shown['id']}/download").content
    assert len(down) == shown["size_bytes"]
    place = step.folder / "tree.zip"
    place.write_bytes(down)
    subprocess.run(
        ["unzip", "-q", place, "-d", step.folder / "unzipped"], check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert facts(step.folder / "unzipped") == facts(step.workspace / "out")


def test_agent_artifact_download_brings_it_by_content(
    server: ServerProcess, job: Job, step: Step, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    step.put("out/model.bin", noise(3 * MIB)).chmod(0o640)
    (step.workspace / "out" / "latest").symlink_to("model.bin")
    upload(step, "model")
    monkeypatch.setenv("AGENT_URL", server.url)
    monkeypatch.setenv("AGENT_TOKEN", server.token)
    place = step.folder / "got"
    with clients_closed():
        assert run_command(["artifact", "download", str(job.run), "model", "--dir", str(place)]) == 0
    assert "2 files" in capsys.readouterr().out
    assert facts(place / "model") == facts(step.workspace / "out")
    with clients_closed():
        assert run_command(["artifact", "download", str(job.run), "model", "--zip", "--dir", str(place)]) == 0
    assert zipfile.ZipFile(place / "model.zip").testzip() is None


def test_a_link_out_of_the_tree_is_followed_or_left_out_and_never_made(step: Step, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret")
    step.put("elsewhere.txt", "mine")
    step.put("out/a", "x")
    (step.workspace / "out" / "mine").symlink_to("../elsewhere.txt")
    (step.workspace / "out" / "theirs").symlink_to(tmp_path / "secret")
    assert "leads out of the workspace: left out" in upload(step, "links")
    download(step, "links")
    assert sorted(path.name for path in (step.workspace / "in").iterdir()) == ["a", "mine"]
    assert not (step.workspace / "in" / "mine").is_symlink()


class Tree:
    """An upload, call by call, as a client of one's own would make it."""

    def __init__(self, job: Job, name: str) -> None:
        self.job = job
        self.name = name
        made = job.call("CreateArtifact", name=name, version=4, tree=True)
        assert made.json()["tree"] is True
        self.number = made.json()["artifact_id"]

    def claim(self, *contents: bytes) -> list[str]:
        answer = self.job.post(f"{self.path}/claims", {"chunks": [chunk(content) for content in contents]})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["missing"])

    def send(self, *contents: bytes, listed: object = None) -> httpx.Response:
        head = json.dumps([chunk(content) for content in contents] if listed is None else listed).encode()
        body = len(head).to_bytes(4, "big") + head + b"".join(contents)
        return self.job.server.http.put(f"{self.path}/packs", content=body, headers=self.job.headers)

    def describe(self, *contents: bytes, **more: object) -> httpx.Response:
        manifest = {
            "version": 1,
            "chunks": [chunk(content) for content in contents],
            "files": [[str(number), 0o644, len(content)] for number, content in enumerate(contents)],
            "folders": [],
            "links": [],
            **more,
        }
        body = json.dumps(manifest).encode()
        return self.job.server.http.put(f"{self.path}/manifest", content=body, headers=self.job.headers)

    def finish(self) -> httpx.Response:
        return self.job.call("FinalizeArtifact", name=self.name)

    @property
    def path(self) -> str:
        return f"/api/v1/trees/{self.number}"


def chunk(content: bytes) -> list[object]:
    return [hashlib.sha256(content).hexdigest(), len(content)]


def test_bytes_that_are_not_what_they_should_be_are_refused_on_the_way_up(
    server: ServerProcess, job: Job
) -> None:
    tree, content = Tree(job, "wrong"), noise(1000)
    before = stored_bytes(server)
    for listed, sent in (
        ([chunk(content), chunk(b"other")], [content, b"OTHER"]),
        ([chunk(content)], [content, b"more"]),
        ([chunk(content), chunk(b"missing")], [content]),
        ([chunk(content), chunk(content)], [content, content]),
        ([["no digest", 3]], [b"abc"]),
        ([chunk(b"")], [b""]),
        ([], []),
    ):
        answer = tree.send(*sent, listed=listed)
        assert answer.status_code == 422, answer.text
    assert stored_bytes(server) == before
    assert tree.claim(content) == [chunk(content)[0]]
    assert tree.describe(content).status_code == 409  # it has not arrived
    assert tree.finish().status_code == 400
    assert job.names() == []


@pytest.mark.parametrize(
    "more",
    [
        {"files": [["../a", 0o644, 1]]},
        {"files": [["/a", 0o644, 1]]},
        {"files": [["a", 0o644, 2]]},
        {"files": [["a", 0o4755, 1]]},
        {"files": [["a", 0o644, 1], ["a", 0o644, 0]]},
        {"links": [["0", "x"]]},
        {"links": [["0/x", "y"]]},
        {"links": [["x", "y"]], "folders": [["x/y/z", 0o755]]},
        {"version": 2},
        {"chunks": [["0" * 64]]},
        {"chunks": None},
    ],
)
def test_a_manifest_that_is_no_tree_is_refused(job: Job, more: dict[str, object]) -> None:
    tree = Tree(job, f"odd-{uuid4()}")
    assert tree.send(b"x").status_code == 204
    assert tree.describe(b"x", **more).status_code == 422


def test_bytes_that_were_changed_in_the_store_are_refused_on_the_way_down(
    make_server: Servers, tmp_path: Path
) -> None:
    server = make_server()
    job = Job(server)
    step = step_of(job, tmp_path / "job")
    step.put("out/a", noise(3 * MIB))
    upload(step, "model")
    (pack,) = [path for path in (server.data / "blobs" / "packs").rglob("*") if path.is_file()]
    content = bytearray(pack.read_bytes())
    content[MIB] ^= 1
    pack.write_bytes(content)
    done = step.run("download-artifact", name="model", path="in")
    assert done.code == 1
    assert "it was changed on its way or in its store; nothing was unpacked" in done.error
    assert not (step.workspace / "in").exists()
    job.end()


def test_what_is_sent_by_content_takes_no_blocks(server: ServerProcess, job: Job) -> None:
    made = job.call("CreateArtifact", name="tree", version=4, tree=True).json()
    answer = server.http.put(block_url(made["signed_upload_url"], 0), content=b"uncounted")
    assert (answer.status_code, "takes no blocks" in answer.text) == (409, True)


def test_a_backup_has_trees_and_they_come_back_with_it(make_server: Servers, tmp_path: Path) -> None:
    server = make_server()
    job = Job(server)
    step = step_of(job, tmp_path / "job")
    step.put("out/model", noise(3 * MIB))
    upload(step, "model")
    (number,) = [entry["database_id"] for entry in job.call("ListArtifacts").json()["artifacts"]]
    before = server.api.get(f"/artifacts/{number}/download").content
    make_backup(server.data, tmp_path / "backup.tar", database_url=server.database_url)
    restored = tmp_path / "restored"
    server.kill()
    restore_backup(tmp_path / "backup.tar", restored)
    server.move(restored)
    assert server.api.get(f"/artifacts/{number}/download").content == before
    assert hashlib.sha256(server.api.get(f"/artifacts/{number}/tree/manifest").content).digest()


def test_two_jobs_that_upload_the_same_bytes_at_once_store_them_once(
    server: ServerProcess, tmp_path: Path
) -> None:
    content = noise(6 * MIB)
    jobs = [Job(server, f"twin-{number}-{uuid4()}") for number in range(2)]
    steps = [step_of(job, tmp_path / str(number)) for number, job in enumerate(jobs)]
    for step in steps:
        step.put("out/model", content)
    before = stored_bytes(server)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda step: upload(step, "model"), steps))
    for step in steps:
        download(step, "model")
        assert (step.workspace / "in" / "model").read_bytes() == content
    named = server.sql("SELECT count(*), count(DISTINCT digest) FROM chunks WHERE size_bytes > 1000")
    assert named[0][0] == named[0][1]
    assert stored_bytes(server) - before <= 2 * len(content)
    for job in jobs:
        job.end()


def test_another_project_is_told_nothing_of_what_is_here(server: ServerProcess, job: Job) -> None:
    content = noise(1000)
    tree = Tree(job, "ours")
    assert tree.send(content).status_code == 204
    assert tree.claim(content) == []
    name = f"p{uuid4().hex[:10]}"
    assert server.api.post("/projects", json={"name": name}).status_code == 201
    (project,) = server.sql("SELECT id FROM projects WHERE name = ?", name)
    other = Job(server, f"stranger-{uuid4()}")
    server.sql("UPDATE runs SET project = ? WHERE id = ?", project[0], other.run)
    theirs = Tree(other, "theirs")
    assert theirs.claim(content) == [chunk(content)[0]]
    assert theirs.describe(content).status_code == 409
    other.end()


def test_a_run_that_is_not_trusted_is_told_only_of_what_it_has_brought(
    server: ServerProcess, job: Job
) -> None:
    content, own = noise(1000), noise(1000)
    assert Tree(job, "ours").send(content).status_code == 204
    stranger = Job(server, f"fork-{uuid4()}")
    server.sql(
        'INSERT INTO origins (run, start, flow, "commit", is_trusted, depth) VALUES (?, ?, ?, ?, ?, ?)',
        *(stranger.run, str(uuid4()), "f", "c", False, 0),
    )
    tree = Tree(stranger, "theirs")
    assert tree.claim(content, own) == [chunk(content)[0], chunk(own)[0]]
    assert tree.send(content, own).status_code == 204  # what it has, it may have
    assert tree.claim(content, own) == []
    assert tree.describe(content, own).status_code == 200
    assert tree.finish().status_code == 200
    again = Tree(stranger, "again")
    assert again.claim(own) == []
    stranger.end()


def test_a_job_of_another_run_gets_nothing_of_it(server: ServerProcess, job: Job) -> None:
    content = noise(1000)
    tree = Tree(job, "ours")
    assert (tree.send(content).status_code, tree.describe(content).status_code) == (204, 200)
    assert tree.finish().status_code == 200
    other = Job(server, f"other-{uuid4()}")
    for answer in (
        server.http.get(f"{tree.path}/manifest", headers=other.headers),
        other.post(f"{tree.path}/chunks", {"chunks": [chunk(content)[0]]}),
        other.post(f"{tree.path}/claims", {"chunks": [chunk(content)]}),
        server.http.put(f"{tree.path}/manifest", content=b"{}", headers=other.headers),
    ):
        assert answer.status_code == 404, answer.text
    got = job.post(f"{tree.path}/chunks", {"chunks": [chunk(content)[0]]})
    assert got.content == content
    assert job.post(f"{tree.path}/chunks", {"chunks": ["0" * 64]}).status_code == 404
    assert server.api.get(f"/artifacts/{tree.number}/tree/manifest").status_code == 200
    other.end()


def test_the_rules_of_retention_sweep_what_nothing_counts_on_and_leave_what_an_upload_does(
    make_server: Servers,
) -> None:
    server = make_server()
    job = Job(server)
    kept, going = noise(1000), noise(1000)
    first = Tree(job, "first")
    assert (first.send(kept, going).status_code, first.describe(kept, going).status_code) == (204, 200)
    assert first.finish().status_code == 200
    open_upload = Tree(job, "second")
    assert open_upload.claim(kept) == []
    assert job.call("DeleteArtifact", name="first").status_code == 200
    server.sql("UPDATE packs SET created_at = created_at - ?", 2 * DAY)
    assert server.api.post("/retention").status_code == 200
    assert open_upload.claim(kept) == []  # the pack is there for the upload that counts on it
    assert open_upload.describe(kept).status_code == 200
    assert open_upload.finish().status_code == 200
    assert job.call("DeleteArtifact", name="second").status_code == 200
    swept = server.api.post("/retention").json()["items"]
    assert [(item["kind"], item["size_bytes"]) for item in swept] == [("packs", 2000)]
    assert server.sql("SELECT count(*) FROM chunks") == [(0,)]
    assert not any(path.is_file() for path in (server.data / "blobs" / "packs").rglob("*"))
    job.end()


def test_what_trees_share_counts_once_in_a_projects_room(make_server: Servers, tmp_path: Path) -> None:
    server = make_server()
    server.sql(f"UPDATE projects SET settings = '{{\"max_artifact_bytes\": {3 * MIB}}}'")
    job = Job(server)
    step = step_of(job, tmp_path / "job")
    step.put("out/model", noise(2 * MIB))
    for number in range(5):
        upload(step, f"same-{number}")
    step.put("out/model", noise(2 * MIB))
    done = step.run("upload-artifact", name="other", path="out")
    assert done.code == 1
    assert "insufficient usage" in done.error
    assert "other" not in job.names()
    job.end()


def test_an_upload_whose_process_is_killed_goes_on_where_it_was(server: ServerProcess, step: Step) -> None:
    content = noise(64 * MIB)
    step.put("out/model", content)
    before = stored_bytes(server)
    process = step.start("upload-artifact", name="model", path="out")
    wait_for(lambda: stored_bytes(server) > before, "a pack")
    process.kill()
    process.communicate()
    arrived = stored_bytes(server) - before
    log = upload(step, "model")
    if arrived < len(content):
        assert "of it were on the server" in log
    download(step, "model")
    assert (step.workspace / "in" / "model").read_bytes() == content


def test_what_had_arrived_when_the_server_was_killed_is_there_when_it_comes_back(
    make_server: Servers, tmp_path: Path
) -> None:
    server = make_server()
    job = Job(server)
    step = step_of(job, tmp_path / "job")
    content = noise(64 * MIB)
    step.put("out/model", content)
    process = step.start("upload-artifact", name="model", path="out")
    wait_for(lambda: stored_bytes(server) > 0, "a pack")
    process.send_signal(signal.SIGSTOP)
    server.restart_after_kill()
    process.kill()
    process.communicate()
    assert job.names() == []
    step.environment["ACTIONS_RESULTS_URL"] = f"{server.url}/"  # it has another port now
    upload(step, "model")
    download(step, "model")
    assert (step.workspace / "in" / "model").read_bytes() == content
