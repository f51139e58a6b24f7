"""The run's code as a git repository, read by git's own client with the token of a job."""

import base64
import contextlib
import hashlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from server.toolkit_job import Job
from server.vocabulary import ONE_JOB, ServerProcess, TestAgent, journal, wait_for
from support.git import Repository, make_repository

from agent.serving_git.bundle import write_bundle
from agent.serving_git.work_tree import Code, commit_work_tree

URL = "https://git.example.org/acme/lab.git"


@pytest.fixture
def code(tmp_path: Path) -> Repository:
    """A repository with history, and a work tree that nobody has committed."""
    repository = make_repository(
        tmp_path / "code", {"one.txt": "1\n", "sub/two.txt": "2\n", ".gitignore": "*.log\n"}
    )
    repository.git("branch", "other")
    repository.commit({"one.txt": "11\n"}, tags=["v2"])
    (repository.folder / "one.txt").write_text("not committed\n")
    (repository.folder / "new.txt").write_text("new\n")
    (repository.folder / "ignored.log").write_text("ignored\n")
    return repository


class Asking:
    """A running job that asks for its run's code with git."""

    def __init__(
        self, server: ServerProcess, source: dict[str, object], folder: Path, **more: object
    ) -> None:
        self.job = Job(server, name=f"{folder.parent.name}-{folder.name}", source=source, **more)
        self.url = f"{server.http.base_url}".rstrip("/")
        self.folder = folder
        folder.mkdir()

    def git(self, *words: str, token: str | None = None, code: int = 0, folder: Path | None = None) -> str:
        """Run git with the header that `actions/checkout` gives it; its output, or its errors when it fails with `code`."""
        pair = base64.b64encode(
            f"x-access-token:{self.job.token if token is None else token}".encode()
        ).decode()
        header = f"http.{self.url}/.extraheader=AUTHORIZATION: basic {pair}"
        done = subprocess.run(
            ["git", "-c", header, "-c", "protocol.version=2", *words],
            cwd=folder or self.folder,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": os.devnull},
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    def fetch(self, *words: str, into: str = "work") -> Path:
        """What `actions/checkout` does: an empty repository, and a fetch with `words`."""
        place = self.folder / into
        self.git("init", "--quiet", "--", str(place))
        self.git("remote", "add", "origin", f"{self.url}/acme/lab", folder=place)
        self.git("fetch", "--no-tags", "--prune", *words, folder=place)
        return place


def upload(server: ServerProcess, code: Code, folder: Path, *, project: str = "default") -> dict[str, object]:
    """The code on the server; the source that a run names it by."""
    digests = []
    for name, known in (("whole", ()),):
        file = folder / f"{name}.bundle"
        write_bundle(code, known, file)
        content = file.read_bytes()
        digests.append(f"sha256:{hashlib.sha256(content).hexdigest()}")
        put = server.api.put(f"/snapshots/{digests[-1]}", content=content, params={"project": project})
        assert put.status_code in (200, 201), put.text
    return {
        "kind": "snapshot",
        "url": URL,
        "ref": "refs/heads/main",
        "commit": code.base,
        "tip": code.tip,
        "digest": digests[0],
        "bundles": digests,
        "default_branch": code.default_branch,
    }


@pytest.fixture
def asking(blob_server: ServerProcess, code: Repository, tmp_path: Path) -> Iterator[Asking]:
    server = blob_server
    made = commit_work_tree(code.folder, tmp_path / "made")
    started = Asking(server, upload(server, made, tmp_path), tmp_path / "job")
    yield started
    started.job.end()


def test_the_runs_commit_is_the_work_tree_on_top_of_its_head(asking: Asking, code: Repository) -> None:
    sha = asking.job.assign.spec.context("github")["sha"]
    place = asking.fetch("--depth=1", "origin", f"+{sha}:refs/remotes/origin/main")
    asking.git("checkout", "--progress", "--force", "-B", "main", "refs/remotes/origin/main", folder=place)
    assert (place / "one.txt").read_text() == "not committed\n"
    assert (place / "new.txt").read_text() == "new\n"
    assert not (place / "ignored.log").exists()
    assert asking.git("rev-list", "--count", "HEAD", folder=place) == "1\n"
    asking.git("fetch", "--unshallow", "origin", folder=place)
    assert asking.git("rev-parse", "HEAD^", folder=place).strip() == code.head
    assert asking.git("diff", "--name-only", "HEAD^", folder=place).split() == ["new.txt", "one.txt"]


def test_all_branches_and_tags_are_there(asking: Asking, code: Repository) -> None:
    place = asking.fetch("origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
    names = asking.git("for-each-ref", "--format=%(refname)", folder=place).split()
    assert names == ["refs/remotes/origin/main", "refs/remotes/origin/other", "refs/tags/v1", "refs/tags/v2"]
    listed = asking.git("ls-remote", "--symref", f"{asking.url}/acme/lab.git", "HEAD")
    assert listed.startswith("ref: refs/heads/main\tHEAD")


def test_part_of_the_tree_is_fetched_alone(asking: Asking) -> None:
    place = asking.folder / "sparse"
    asking.git("clone", "--quiet", "--filter=blob:none", "--sparse", f"{asking.url}/acme/lab", str(place))
    asking.git("sparse-checkout", "set", "sub", folder=place)
    assert (place / "sub" / "two.txt").exists()


def test_the_token_of_the_job_opens_its_runs_repository_and_no_other(
    blob_server: ServerProcess, asking: Asking, code: Repository, tmp_path: Path
) -> None:
    server = blob_server
    mine, others = f"{asking.url}/acme/lab", f"{asking.url}/acme/other"
    assert "refs/heads/main" in asking.git("ls-remote", mine)
    assert "no host of this name" in asking.git(
        "ls-remote", others, code=128
    )  # where the run's repository is
    for token in ("", "a.b.c", server.token, "x" * 2000):
        said = asking.git("ls-remote", mine, token=token, code=128)
        assert "could not read Username" in said  # a 401: git would ask for another password
    (code.folder / "one.txt").write_text("another run's\n")
    made = commit_work_tree(code.folder, tmp_path / "second")
    second = Asking(server, upload(server, made, tmp_path), tmp_path / "job-2")
    assert "refs/heads/main" in second.git("ls-remote", mine)
    said = asking.git(
        "fetch", mine, str(second.job.assign.spec.context("github")["sha"]), code=128, folder=code.folder
    )
    assert "not our ref" in said
    second.job.end()
    assert "could not read Username" in second.git("ls-remote", mine, code=128)


def test_git_lfs_is_told_why_its_objects_are_not_here_and_what_to_do(
    blob_server: ServerProcess, code: Repository, tmp_path: Path
) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a1' * 32}\nsize 12\n"
    code.commit({".gitattributes": "*.bin filter=lfs -text\n", "model.bin": pointer})
    source = upload(blob_server, commit_work_tree(code.folder, tmp_path / "made"), tmp_path)
    asking = Asking(blob_server, source, tmp_path / "job")
    place = asking.fetch("--depth=1", "origin", f"+{source['tip']}:refs/remotes/origin/main")
    said = asking.git("lfs", "fetch", "origin", "refs/remotes/origin/main", folder=place, code=2)
    assert "use flow-agent/checkout@v1" in said
    asking.job.end()


def test_nobody_writes_and_no_path_leads_elsewhere(asking: Asking, code: Repository) -> None:
    said = asking.git("push", f"{asking.url}/acme/lab", "HEAD:refs/heads/mine", code=128, folder=code.folder)
    assert "403" in said or "read" in said
    headers = asking.job.headers
    for path in (
        "/acme/..%2f..%2flab",
        "/../acme",
        "/acme/lab%00",
        "/acme/lab/.git",
        "/-/lab",
        "/acme/%2e%2e",
    ):
        answer = asking.job.server.http.get(f"{path}/info/refs?service=git-upload-pack", headers=headers)
        assert answer.status_code in (400, 404, 422), path
    for path in ("HEAD", "objects/info/packs", "config"):
        assert asking.job.server.http.get(f"/acme/lab/{path}", headers=headers).status_code == 404
    assert asking.job.server.http.get("/acme/lab/info/refs", headers=headers).status_code == 403


def test_another_projects_job_finds_nothing(
    blob_server: ServerProcess, asking: Asking, tmp_path: Path
) -> None:
    blob_server.api.post("/projects", json={"name": "strangers"})
    agent = TestAgent(blob_server, name=tmp_path.name, token=blob_server.registration()).connect()
    body = {"flow": {"file": "flow.yml", "text": ONE_JOB}, "source": {"kind": "none", "url": URL}}
    started = blob_server.api.post("/runs", json=body, params={"project": "strangers"})
    assign = agent.take()
    assert assign.spec.run == started.json()["run"]
    token = agent.open(assign, "ACTIONS_RUNTIME_TOKEN")
    assert "not found" in asking.git("ls-remote", f"{asking.url}/acme/lab", token=token, code=128)
    agent.finish(assign, journal(assign))
    agent.disconnect()


def test_the_calls_that_actions_make_about_their_repository(asking: Asking, code: Repository) -> None:
    def get(path: str, status: int = 200) -> Any:
        headers = {"Authorization": f"token {asking.job.token}"}
        answer = asking.job.server.http.get(f"/api/v3/{path}", headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    sha = str(asking.job.assign.spec.context("github")["sha"])
    assert get("repos/acme/lab")["default_branch"] == "main"
    commit = get(f"repos/acme/lab/commits/{sha}")
    assert [parent["sha"] for parent in commit["parents"]] == [code.head]
    assert {file["filename"]: file["status"] for file in commit["files"]} == {
        "new.txt": "added",
        "one.txt": "modified",
    }
    compared = get("repos/acme/lab/compare/other...main")
    assert (compared["status"], compared["ahead_by"], len(compared["commits"])) == ("ahead", 2, 2)
    assert [tag["name"] for tag in get("repos/acme/lab/tags")] == ["v2", "v1"]
    assert get("repos/acme/lab/releases/latest")["tag_name"] in ("v1", "v2")
    assert get("repos/acme/lab/git/ref/tags/v2")["object"]["sha"] == code.head
    assert base64.b64decode(get("repos/acme/lab/contents/sub/two.txt?ref=v1")["content"]) == b"2\n"
    assert [one["name"] for one in get("repos/acme/lab/contents?ref=v1")] == [".gitignore", "one.txt", "sub"]
    assert [one["sha"] for one in get("repos/acme/lab/commits?per_page=1&page=2")] == [code.head]
    assert "No commit found" in get("repos/acme/lab/commits/nothing", 404)["message"]
    for path in ("repos/acme/lab/pulls/1", "repos/acme/lab/issues", "user", "repos/acme/other/tags"):
        assert get(path, 404).keys() == {"message", "documentation_url", "status"}
    for path in (
        "..%2f..%2fetc",
        "contents/..%2f..%2fetc%2fpasswd",
        "commits/--output=x",
        "compare/-x...main",
    ):
        assert get(f"repos/acme/lab/{path}", 404 if "contents" not in path else 422)["message"]


def test_a_server_that_is_killed_leaves_no_git_and_makes_again_what_was_half_made(
    make_server: Callable[..., ServerProcess], code: Repository, tmp_path: Path
) -> None:
    server = make_server()
    code.commit({"large.bin": os.urandom(30_000_000)})
    made = commit_work_tree(code.folder, tmp_path / "made")
    asking = Asking(server, upload(server, made, tmp_path), tmp_path / "job")
    pair = base64.b64encode(f"x-access-token:{asking.job.token}".encode()).decode()
    host, port = server.http.base_url.host, server.http.base_url.port
    want = f"0032want {made.tip}\n00000009done\n".encode()
    with socket.create_connection((host, port)) as reading:
        head = (
            f"POST /acme/lab/git-upload-pack HTTP/1.1\r\nHost: {host}\r\nAuthorization: basic {pair}\r\n"
            f"Content-Type: application/x-git-upload-pack-request\r\nContent-Length: {len(want)}\r\n\r\n"
        )
        reading.sendall(head.encode() + want)
        assert reading.recv(1000).startswith(b"HTTP/1.1 200")
        wait_for(lambda: list_git(server.data), "git")
        server.kill()
    wait_for(lambda: not list_git(server.data), "the end of git")
    store = next((server.data / "code" / "stores").iterdir())
    store.rename(store.with_name(f"{store.name}.0.new"))
    server.start()
    asking.url = f"{server.http.base_url}".rstrip("/")
    assert "refs/heads/main" in asking.git("ls-remote", f"{asking.url}/acme/lab")
    assert not list((server.data / "code" / "stores").glob("*.new"))


def list_git(data: Path) -> list[str]:
    """The processes of git that work below the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            where = (process / "environ").read_bytes() if words[0].endswith(b"git") else b""
            found += [str(words)] if str(data).encode() in b" ".join(words) + where else []
    return found


def test_what_nobody_uses_goes_first_when_the_cache_is_full(
    make_server: Callable[..., ServerProcess], code: Repository, tmp_path: Path
) -> None:
    server = make_server(limits={"code_bytes": 1_500_000})
    for number in range(3):
        code.git("checkout", "--quiet", "--orphan", f"branch-{number}")
        code.commit({"large.bin": os.urandom(1_000_000)})
        made = commit_work_tree(code.folder, tmp_path / f"made-{number}")
        lone = replace(made, refs={f"refs/heads/branch-{number}": made.tip})
        asking = Asking(server, upload(server, lone, tmp_path), tmp_path / f"job-{number}")
        assert f"refs/heads/branch-{number}" in asking.git("ls-remote", f"{asking.url}/acme/lab")
        assert len(list((server.data / "code" / "stores").iterdir())) == 1
        asking.job.end()
