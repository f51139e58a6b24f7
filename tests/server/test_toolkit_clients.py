"""Artifacts and caches through GitHub's own clients, as upload-artifact, download-artifact (v4 to v7) and cache drive them."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from server.toolkit_job import Job, have_trunk, peak_memory_bytes
from server.vocabulary import ONE_JOB, TWO_JOBS, ServerProcess, journal
from support.action_step import Step
from support.toolkit import drive, start_driving
from websockets.exceptions import ConnectionClosed

LARGE_MIB = int(os.environ.get("FLOW_LARGE_UPLOAD_MIB", "20"))
Servers = Callable[..., ServerProcess]


class Clients:
    """The clients as a step of a job has them, in a folder of its own."""

    def __init__(self, job: Job, folder: Path) -> None:
        self.job, self.folder = job, folder
        folder.mkdir(exist_ok=True)
        self.environment = {
            "ACTIONS_RUNTIME_TOKEN": job.token,
            "ACTIONS_RESULTS_URL": f"{job.server.url}/",
            "ACTIONS_CACHE_URL": f"{job.server.url}/",
            "ACTIONS_CACHE_SERVICE_V2": "True",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_WORKSPACE": str(folder),
            "RUNNER_TEMP": str(folder.with_name(f"{folder.name}-temp")),
            "HOME": str(folder),
        }
        Path(self.environment["RUNNER_TEMP"]).mkdir(exist_ok=True)

    def read(self, folder: str) -> dict[str, bytes]:
        root = self.folder / folder
        return {
            path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
        }

    def put(self, name: str, content: bytes | str) -> Path:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def do(self, *steps: list[Any], **environment: str) -> list[Any]:
        return drive(*steps, environment={**self.environment, **environment}, cwd=self.folder)

    def refuse(self, *step: Any, **environment: str) -> str:
        """What the client says of a step that can't be done."""
        answers = drive(
            list(step),
            environment={**self.environment, **environment},
            cwd=self.folder,
            expects_errors=True,
        )
        return str(answers[0])

    def upload(self, name: str, folder: str, **options: Any) -> dict[str, Any]:
        (done,) = self.do(["upload", name, str(self.folder / folder), options])
        return done

    def fetch(self, name: str, into: str) -> dict[str, bytes]:
        """The artifact's files, as download-artifact brings them."""
        (found,) = self.do(["get", name])
        number = found["artifact"]["id"]
        options = {"expectedHash": found["artifact"].get("digest")}
        (done,) = self.do(["download", number, str(self.folder / into), options])
        assert done.get("digestMismatch") is not True
        return self.read(into)

    def names(self) -> list[str]:
        (found,) = self.do(["list", {"latest": True}])
        return sorted(artifact["name"] for artifact in found["artifacts"])


@pytest.fixture(scope="module")
def server(blob_server: ServerProcess) -> ServerProcess:
    return blob_server


@pytest.fixture
def on(server: ServerProcess, tmp_path: Path) -> Iterator[Callable[..., Clients]]:
    """The clients in a job of its own."""
    jobs: list[Job] = []

    def make(branch: str = "", base: str = "", **more: Any) -> Clients:
        job = Job(server, f"{tmp_path.name}-{len(jobs)}", **more)
        jobs.append(job)
        if branch:
            have_trunk(server)
            server.put_on(job.run, branch, base=base)
        return Clients(job, tmp_path / f"job-{len(jobs)}")

    yield make
    for job in jobs:
        if job.agent.socket is not None:
            with suppress(ConnectionClosed):  # it answers nothing while a large upload goes on
                job.end()


@pytest.fixture
def clients(on: Callable[..., Clients]) -> Clients:
    return on()


def test_a_folder_is_uploaded_listed_downloaded_overwritten_and_deleted(clients: Clients) -> None:
    clients.put("out/a.txt", "one")
    clients.put("out/deep/er/b.bin", bytes(range(256)))
    clients.put("out/caf\N{LATIN SMALL LETTER E WITH ACUTE} 1.txt", "two")
    done = clients.upload("model", "out")
    files = {
        "a.txt": b"one",
        "deep/er/b.bin": bytes(range(256)),
        "caf\N{LATIN SMALL LETTER E WITH ACUTE} 1.txt": b"two",
    }
    assert clients.fetch("model", "in") == files
    assert clients.names() == ["model"]
    assert "already exists" in clients.refuse("upload", "model", str(clients.folder / "out"))
    (gone,) = clients.do(["delete", "model"])
    assert gone["id"] == done["id"]
    assert clients.names() == []
    clients.put("out/a.txt", "new")
    assert clients.upload("model", "out")["id"] != done["id"]
    assert clients.fetch("model", "again")["a.txt"] == b"new"
    assert "Artifact not found for name: absent" in clients.refuse("get", "absent")
    assert "not found" in clients.refuse("delete", "absent").lower()


@pytest.mark.timeout(3600)
def test_an_artifact_of_several_blocks_comes_back_as_it_was(clients: Clients) -> None:
    """FLOW_LARGE_UPLOAD_MIB=3072 does it with one file of 3 GiB."""
    clients.put("out/weights.bin", b"")
    digest = hashlib.sha256()
    with (clients.folder / "out/weights.bin").open("wb") as file:
        for _ in range(LARGE_MIB):
            chunk = os.urandom(1 << 20)
            digest.update(chunk)
            file.write(chunk)
    done = clients.upload("weights", "out", compressionLevel=0)
    assert done["size"] > LARGE_MIB << 20
    (clients.folder / "out/weights.bin").unlink()
    (found,) = clients.do(["get", "weights"])
    clients.do(["download", found["artifact"]["id"], str(clients.folder / "in")])
    with (clients.folder / "in/weights.bin").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest.hexdigest()
    assert peak_memory_bytes(clients.job.server) < 256 << 20


def test_a_later_job_gets_by_githubs_client_what_our_own_action_has_uploaded_and_the_other_way_round(
    server: ServerProcess, tmp_path: Path
) -> None:
    job = Job(server, tmp_path.name, text=TWO_JOBS)
    ours = Step(tmp_path / "ours", server.url, job.token)
    ours.put("out/deep/a.bin", content := os.urandom(3 << 20))
    assert ours.run("upload-artifact", name="ours", path="out").code == 0
    first = Clients(job, tmp_path / "first")
    first.put("out/b.txt", "theirs")
    first.upload("theirs", "out")
    job.agent.finish(job.assign, journal(job.assign))
    job.assign = job.agent.take()
    job.token = job.agent.open(job.assign, "ACTIONS_RUNTIME_TOKEN")
    later = Clients(job, tmp_path / "later")
    assert later.names() == ["ours", "theirs"]
    assert later.fetch("ours", "in") == {"deep/a.bin": content}
    mine = Step(tmp_path / "mine", server.url, job.token)
    assert mine.run("download-artifact", name="theirs", path="in").code == 0
    assert mine.tree("in") == {"b.txt": "theirs"}
    job.end()


def test_ten_thousand_small_files_come_back(clients: Clients) -> None:
    for number in range(10_000):
        clients.put(f"out/{number % 100}/{number}.txt", str(number))
    clients.upload("many", "out")
    found = clients.fetch("many", "in")
    assert found == {f"{number % 100}/{number}.txt": str(number).encode() for number in range(10_000)}


def test_an_empty_file_is_an_artifact(clients: Clients) -> None:
    clients.put("out/empty", "")
    clients.upload("empty", "out")
    assert clients.fetch("empty", "in") == {"empty": b""}


def test_a_single_file_stays_what_it_is_when_it_is_not_archived(clients: Clients) -> None:
    """upload-artifact v7 with `archive: false`: the artifact has the file's name."""
    file = clients.put("out/report-\N{LATIN SMALL LETTER E WITH ACUTE}.html", "<p>hello")
    clients.do(["upload", "ignored", str(file.parent), {"skipArchive": True}])
    assert clients.names() == [file.name]
    assert clients.fetch(file.name, "in") == {file.name: b"<p>hello"}


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "a\\b", "a:b", "a\nb", 'a"b', "a*b", "a?b", "a<b", "a|b", ""]
)
def test_hostile_names_are_refused_by_the_client_or_by_us(clients: Clients, name: str) -> None:
    clients.put("out/a", "1")
    said = clients.refuse("upload", name, str(clients.folder / "out"))
    assert "artifact name" in said.lower() or "name" in said.lower(), said
    assert clients.names() == []


def test_bytes_that_are_not_what_was_announced_are_no_artifact(clients: Clients) -> None:
    url = clients.job.create("torn")
    headers = {"x-ms-blob-type": "BlockBlob"}
    assert clients.job.server.http.put(url, content=b"other", headers=headers).status_code == 201
    wrong = f"sha256:{hashlib.sha256(b'bytes').hexdigest()}"
    answer = clients.job.call("FinalizeArtifact", name="torn", size="5", hash=wrong)
    assert answer.status_code >= 400
    assert clients.names() == []
    assert "not found" in clients.refuse("get", "torn")


def test_a_download_with_another_digest_is_told_as_a_mismatch(clients: Clients) -> None:
    clients.put("out/a", "1")
    done = clients.upload("model", "out")
    expected = {"expectedHash": f"sha256:{'0' * 64}"}
    (told,) = clients.do(["download", done["id"], str(clients.folder / "in"), expected])
    assert told["digestMismatch"] is True


def test_an_artifact_whose_time_is_over_is_neither_listed_nor_downloaded(clients: Clients) -> None:
    clients.put("out/a", "1")
    done = clients.upload("old", "out", retentionDays=1)
    clients.upload("young", "out", retentionDays=2)
    clients.job.server.sql("UPDATE artifacts SET expires_at = 1 WHERE id = ?", done["id"])
    assert clients.names() == ["young"]
    assert "not found" in clients.refuse("get", "old")
    assert "No artifacts found for ID" in clients.refuse("download", done["id"], str(clients.folder / "in"))
    shown = clients.job.server.api.get(f"/runs/{clients.job.run}/artifacts").json()["artifacts"]
    assert [artifact["name"] for artifact in shown] == ["young"]
    clients.upload("old", "out")
    assert clients.names() == ["old", "young"]


def test_another_runs_artifacts_are_not_this_runs(on: Callable[..., Clients]) -> None:
    one, other = on(), on()
    one.put("out/a", "1")
    done = one.upload("model", "out")
    assert other.names() == []
    assert "not found" in other.refuse("get", "model")
    assert "No artifacts found for ID" in other.refuse("download", done["id"], str(other.folder / "in"))
    assert "not found" in other.refuse("delete", "model").lower()
    assert one.names() == ["model"]


READING = ONE_JOB.replace("jobs:", "permissions: {actions: read}\njobs:")


def of_other(run: int, token: str) -> dict[str, Any]:
    """What download-artifact makes of `run-id` and `github-token`."""
    names = {"repositoryOwner": "acme", "repositoryName": "lab"}
    return {"findBy": {"token": token, "workflowRunId": run, **names}}


def test_another_runs_artifacts_are_read_with_its_id_a_token_and_the_permission(
    on: Callable[..., Clients],
) -> None:
    one, other = on(), on(text=READING)
    one.put("out/a.txt", "1")
    one.put("out/b/c.txt", "2")
    done = one.upload("model", "out")
    api = {"GITHUB_API_URL": f"{one.job.server.url}/api/v3"}
    asked = of_other(one.job.run, other.job.token)
    listed, found, downloaded = other.do(
        ["list", asked],
        ["get", "model", asked],
        [
            "download",
            done["id"],
            str(other.folder / "in"),
            {**asked, "expectedHash": f"sha256:{done['digest']}"},
        ],
        **api,
    )
    assert [artifact["name"] for artifact in listed["artifacts"]] == ["model"]
    assert (found["artifact"]["id"], downloaded["digestMismatch"]) == (done["id"], False)
    assert other.read("in") == {"a.txt": b"1", "b/c.txt": b"2"}
    assert "not found" in other.refuse("get", "absent", asked, **api)
    person = of_other(one.job.run, one.job.server.token)
    assert [artifact["name"] for artifact in other.do(["list", person], **api)[0]["artifacts"]] == ["model"]


def test_without_the_permission_another_runs_artifacts_are_not_read(on: Callable[..., Clients]) -> None:
    one, other = on(), on()
    one.put("out/a.txt", "1")
    done = one.upload("model", "out")
    api = {"GITHUB_API_URL": f"{one.job.server.url}/api/v3"}
    asked = of_other(one.job.run, other.job.token)
    for step in (
        ["list", asked],
        ["get", "model", asked],
        ["download", done["id"], str(other.folder / "in"), asked],
    ):
        assert "may not read what other runs have made" in other.refuse(*step, **api)
    own = of_other(one.job.run, one.job.token)
    assert [artifact["name"] for artifact in one.do(["list", own], **api)[0]["artifacts"]] == ["model"]


def test_another_projects_artifacts_are_not_there(on: Callable[..., Clients], server: ServerProcess) -> None:
    one, other = on(), on(text=READING)
    one.put("out/a.txt", "1")
    one.upload("model", "out")
    server.api.post("/projects", json={"name": "elsewhere"})
    ((project,),) = server.sql("SELECT id FROM projects WHERE name = 'elsewhere'")
    server.sql("UPDATE jobs SET project = ? WHERE id = ?", project, other.job.assign.job)
    api = {"GITHUB_API_URL": f"{one.job.server.url}/api/v3"}
    said = other.refuse("list", of_other(one.job.run, other.job.token), **api)
    assert "there is no" in said, said


V1 = {"GITHUB_SERVER_URL": "https://git.example.com", "ACTIONS_CACHE_SERVICE_V2": ""}
PROTOCOLS = pytest.mark.parametrize("protocol", [{}, V1], ids=["v2", "v1"])


@PROTOCOLS
def test_a_cache_is_restored_by_its_key_by_a_prefix_and_never_torn(
    on: Callable[..., Clients], protocol: dict[str, str]
) -> None:
    writer, reader = on("refs/heads/main"), on("refs/heads/main")
    key = f"deps-{len(protocol)}"
    writer.put("cache/a.txt", "one")
    saved, again = writer.do(
        ["save", ["cache"], f"{key}-linux-1"], ["save", ["cache"], f"{key}-linux-1"], **protocol
    )
    assert saved >= 0
    assert again == -1  # the client warns: the key is taken
    assert reader.do(["restore", ["cache"], f"{key}-linux-1"], **protocol) == [f"{key}-linux-1"]
    assert reader.read("cache") == {"a.txt": b"one"}
    assert reader.do(["restore", ["cache"], f"{key}-mac-2", [f"{key}-mac", f"{key}-"]], **protocol) == [
        f"{key}-linux-1"
    ]
    assert reader.do(["restore", ["cache"], "other"], **protocol) == [None]
    assert reader.do(["restore", ["elsewhere"], f"{key}-linux-1"], **protocol) == [None]


@PROTOCOLS
def test_a_branch_reads_its_own_caches_and_the_bases_and_no_other_branchs(
    on: Callable[..., Clients], protocol: dict[str, str]
) -> None:
    key = f"scoped-{len(protocol)}"
    main, one, two = "refs/heads/main", "refs/heads/one", "refs/heads/two"
    for branch in (main, one):
        writer = on(branch)
        writer.put("cache/where", branch)
        writer.do(["save", ["cache"], f"{key}-{branch.rpartition('/')[2]}"], **protocol)
    own, trunk = [f"{key}-one"], [f"{key}-main"]
    for branch, base, seen in ((one, "", own), (two, "", trunk), ("refs/pull/1/merge", one, own)):
        assert on(branch, base).do(["restore", ["cache"], f"{key}-", []], **protocol) == seen, branch


def test_of_two_writers_of_a_key_one_wins_and_what_it_wrote_is_whole(on: Callable[..., Clients]) -> None:
    writers = [on("refs/heads/main"), on("refs/heads/main")]
    for number, writer in enumerate(writers):
        writer.put("cache/a.bin", bytes([number]) * 100_000)
    running = [
        start_driving(["save", ["cache"], "raced"], environment=writer.environment, cwd=writer.folder)
        for writer in writers
    ]
    for process in running:
        process.communicate(timeout=120)
    reader = on("refs/heads/main")
    assert reader.do(["restore", ["cache"], "raced"]) == ["raced"]
    content = (reader.folder / "cache/a.bin").read_bytes()
    assert content in (b"\0" * 100_000, b"\1" * 100_000)


def test_a_cache_whose_writer_was_killed_is_seen_by_nobody_and_its_key_is_free_for_the_next_job(
    on: Callable[..., Clients],
) -> None:
    dead = on("refs/heads/main")
    answer = dead.job.cache("CreateCacheEntry", key="torn", version="v1")
    url = answer.json()["signed_upload_url"]
    assert (
        dead.job.server.http.put(url, content=b"half", headers={"x-ms-blob-type": "BlockBlob"}).status_code
        == 201
    )
    reader = on("refs/heads/main")
    assert reader.do(["restore", ["cache"], "torn"]) == [None]
    assert reader.job.cache("GetCacheEntryDownloadURL", key="torn", version="v1").json()["ok"] is False
    dead.job.end()
    assert reader.job.cache("CreateCacheEntry", key="torn", version="v1").json()["ok"] is True


def test_the_projects_room_for_caches_is_kept_by_letting_the_least_used_go(
    make_server: Servers, tmp_path: Path
) -> None:
    server = make_server()
    answer = server.api.patch("/projects/default", json={"settings": {"max_cache_bytes": 250_000}})
    assert answer.status_code == 200, answer.text
    job = Job(server)
    clients = Clients(job, tmp_path / "job")
    clients.put("cache/a.bin", os.urandom(100_000))
    for key in ("one", "two"):
        clients.do(["save", ["cache"], key])
    assert clients.do(["restore", ["cache"], "one"]) == ["one"]
    clients.do(["save", ["cache"], "three"])
    found = clients.do(*[["restore", ["cache"], key] for key in ("one", "two", "three")])
    assert found == ["one", None, "three"]
    job.end()
