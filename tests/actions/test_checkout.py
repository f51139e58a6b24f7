"""checkout fills the workspace with what the run is about, whole or not at all."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.git import GitHost, Repository, make_repository, serve_git
from support.results_service import Fault, ResultsService, serve_results

from .conftest import Step
from .test_archives import tar_of

FILES = {"train.py": "print(1)", "sub/data.txt": "1 2 3"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "git" / "acme" / "code", FILES)


def source_of(
    repository: Repository, ref: str = "refs/heads/main", commit: str | None = None
) -> dict[str, str]:
    return {
        "kind": "git",
        "url": repository.url,
        "ref": ref,
        "commit": commit or repository.head,
        "digest": "",
    }


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_runs_commit_is_checked_out_though_its_branch_has_moved_on(
    step: Step, repository: Repository
) -> None:
    source = source_of(repository)
    repository.commit({"train.py": "newer"})
    done = step.run("checkout", source=source)
    assert done.code == 0, done.log
    assert step.tree() == FILES
    assert done.outputs == {"commit": source["commit"], "ref": "refs/heads/main"}
    assert git(step.workspace, "rev-parse", "HEAD") == source["commit"]
    assert git(step.workspace, "branch", "--show-current") == "main"
    assert git(step.workspace, "status", "--porcelain") == ""
    assert git(step.workspace, "remote", "get-url", "origin") == repository.url


@pytest.mark.parametrize("ref", ["main", "refs/tags/v1", "gone", "", "refs/pull/7/head"])
def test_whatever_the_ref_is_called_the_commit_counts(ref: str, step: Step, repository: Repository) -> None:
    done = step.run("checkout", source=source_of(repository, ref))
    assert done.code == 0, done.log
    assert done.outputs["commit"] == repository.head
    assert step.tree() == FILES


def test_a_path_keeps_it_apart(step: Step, repository: Repository) -> None:
    step.put("mine.txt")
    assert step.run("checkout", source=source_of(repository), path="code").code == 0
    assert step.tree("code") == FILES
    assert (step.workspace / "mine.txt").exists()
    assert "leads out" in step.run("checkout", source=source_of(repository), path="../x").error
    assert "leads out" in step.run("checkout", source=source_of(repository), path="/tmp").error


def test_what_is_not_in_the_code_is_removed_unless_it_may_stay(step: Step, repository: Repository) -> None:
    for clean, stays in (("false", True), ("true", False)):
        step.put("old/left.txt")
        step.put("train.py", "local change")
        assert step.run("checkout", source=source_of(repository), clean=clean).code == 0
        assert (step.workspace / "old" / "left.txt").exists() is stays
        assert (step.workspace / "train.py").read_text() == "print(1)"


def test_history_comes_as_deep_as_asked(step: Step, repository: Repository) -> None:
    repository.commit({"train.py": "2"})
    repository.commit({"train.py": "3"}, tags=["v3"])
    for depth, count in (("1", "1"), ("2", "2"), ("0", "3")):
        assert step.run("checkout", source=source_of(repository), fetch_depth=depth).code == 0
        assert git(step.workspace, "rev-list", "--count", "HEAD") == count
    assert git(step.workspace, "tag") == "v1\nv3"


def test_another_repository_is_named_by_address_or_by_name(step: Step, repository: Repository) -> None:
    done = step.run("checkout", repository=repository.url, path="other")
    assert done.code == 0, done.log
    assert done.outputs == {"commit": repository.head, "ref": "refs/heads/main"}
    step.environment["GITHUB_SERVER_URL"] = repository.folder.parents[1].as_uri()
    for ref in ("v1", "main", repository.head):
        done = step.run("checkout", repository="acme/code", ref=ref, path=f"by-{ref}")
        assert done.code == 0, done.log
        assert done.outputs["commit"] == repository.head


def test_a_ref_of_the_runs_own_repository_may_be_named(step: Step, repository: Repository) -> None:
    old = repository.head
    repository.commit({"train.py": "newer"})
    assert step.run("checkout", source=source_of(repository), ref="v1").outputs["commit"] == old


def test_an_unknown_ref_or_repository_is_said_and_changes_nothing(step: Step, repository: Repository) -> None:
    step.put("mine.txt")
    done = step.run("checkout", repository=repository.url, ref="absent")
    assert "has no branch or tag 'absent'" in done.error
    done = step.run("checkout", repository=repository.url + "-absent")
    assert "does not appear to be a git repository" in done.error
    done = step.run("checkout", source=source_of(repository, commit="0" * 39 + "1"))
    assert done.code == 1
    assert [path.name for path in step.workspace.iterdir()] == ["mine.txt"]


@pytest.fixture
def large(tmp_path: Path) -> Repository:
    """A repository with a file that Git LFS keeps."""
    if shutil.which("git-lfs") is None:
        if os.environ.get("CI"):
            pytest.fail("git-lfs is part of CI")
        pytest.skip("git-lfs is missing")
    repository = make_repository(tmp_path / "git" / "acme" / "large", {"README": "x"})
    repository.git("lfs", "install", "--local", "--skip-repo")
    repository.commit(
        {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", "model.bin": "weights"}
    )
    return repository


def test_large_files_come_when_they_are_asked_for(step: Step, large: Repository) -> None:
    done = step.run("checkout", lfs="true", source=source_of(large))
    assert done.code == 0, done.log
    assert (step.workspace / "model.bin").read_text() == "weights"
    assert git(step.workspace, "status", "--porcelain") == ""


def test_large_files_are_pointers_when_nobody_asks(step: Step, large: Repository) -> None:
    done = step.run("checkout", source=source_of(large))
    assert done.code == 0, done.log
    assert (
        (step.workspace / "model.bin").read_text().startswith("version https://git-lfs.github.com/spec/v1\n")
    )


def test_a_large_file_that_its_host_lost_is_an_error(step: Step, large: Repository) -> None:
    shutil.rmtree(large.folder / ".git" / "lfs")
    done = step.run("checkout", lfs="true", source=source_of(large))
    assert done.code == 1
    assert "git lfs failed" in done.log, done.log
    assert not (step.workspace / "README").exists()


@pytest.fixture
def nested(tmp_path: Path, repository: Repository) -> Repository:
    """A repository with a submodule that has one."""
    inner = make_repository(tmp_path / "git" / "acme" / "inner", {"inner.txt": "inner"})
    outer = make_repository(tmp_path / "git" / "acme" / "outer")
    for holder, name, held in ((inner, "code", repository), (outer, "inner", inner)):
        holder.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", held.url, name)
        holder.commit({})
    return outer


@pytest.mark.parametrize(
    ("wanted", "found"), [("false", (False, False)), ("true", (True, False)), ("recursive", (True, True))]
)
def test_submodules_come_as_deep_as_asked(
    step: Step, nested: Repository, wanted: str, found: tuple[bool, bool]
) -> None:
    done = step.run("checkout", submodules=wanted, source=source_of(nested))
    assert done.code == 0, done.log
    inner = step.workspace / "inner"
    assert ((inner / "inner.txt").exists(), (inner / "code" / "train.py").exists()) == found


@pytest.fixture
def host(tmp_path: Path, repository: Repository) -> GitHost:
    with serve_git(tmp_path / "git") as host:
        yield host


def test_code_from_elsewhere_does_not_fetch_folders_of_this_machine(
    step: Step, host: GitHost, nested: Repository
) -> None:
    source = {**source_of(nested), "url": f"{host.url}/acme/outer"}
    done = step.run("checkout", submodules="true", source=source)
    assert done.code == 1
    assert "git submodule failed: fatal: transport 'file' not allowed" in done.log, done.log


def test_credentials_reach_no_log(step: Step, host: GitHost) -> None:
    host.credentials = "robot:hunter2"
    url = host.url.replace("://", "://robot:hunter3@") + "/acme/code"
    done = step.run("checkout", repository=url)
    assert done.code == 1
    assert "hunter3" not in done.log


@pytest.mark.parametrize(
    ("repository", "ref"),
    [
        ("ext::sh -c 'touch pwned'", ""),
        ("--upload-pack=touch pwned", ""),
        ("../../etc", ""),
        ("a/b", "--upload-pack=touch pwned"),
        ("https://-oProxyCommand=touch/a/b", ""),
        ("ssh://-oProxyCommand=touch/a/b", ""),
        ("https://h/a b", ""),
    ],
)
def test_what_git_could_take_for_an_option_or_a_command_is_refused(
    repository: str, ref: str, step: Step
) -> None:
    done = step.run("checkout", repository=repository, ref=ref)
    assert "is no repository and ref" in done.error
    assert list(step.workspace.iterdir()) == []


def test_what_the_workspace_held_before_runs_nothing(
    step: Step, repository: Repository, tmp_path: Path
) -> None:
    assert step.run("checkout", source=source_of(repository)).code == 0
    hook = step.put(".git/hooks/post-checkout", f"#!/bin/sh\ntouch {tmp_path}/pwned\n")
    hook.chmod(0o755)
    assert step.run("checkout", source=source_of(repository)).code == 0
    assert not (tmp_path / "pwned").exists()


def snapshot_source(digest: str) -> dict[str, str]:
    return {"kind": "snapshot", "digest": digest, "commit": "c" * 40, "ref": "refs/heads/main", "url": ""}


def test_a_snapshot_is_fetched_checked_and_unpacked(step: Step, service: ResultsService) -> None:
    digest = service.add_snapshot(
        tar_of(("train.py", b"print(1)"), ("sub/data.txt", b"1 2 3"), ("link", "train.py"))
    )
    step.put("old.txt")
    service.faults = [Fault("snapshots", status=503), Fault("snapshots", drop_after=20)]
    done = step.run("checkout", source=snapshot_source(digest))
    assert done.code == 0, done.log
    assert step.tree() == {**FILES, "link": "print(1)"}
    assert done.outputs == {"commit": "c" * 40, "ref": "refs/heads/main"}
    step.put("old.txt")
    assert step.run("checkout", source=snapshot_source(digest), clean="false").code == 0
    assert (step.workspace / "old.txt").exists()


def test_a_snapshot_that_is_not_what_it_says_changes_nothing(step: Step, service: ResultsService) -> None:
    step.put("mine.txt")
    digest = service.add_snapshot(tar_of(("train.py", b"print(1)")))
    service.change = lambda content: content[:-1] + b"!"
    assert "nothing was unpacked" in step.run("checkout", source=snapshot_source(digest)).error
    service.change = lambda content: content
    evil = service.add_snapshot(tar_of(("ok", b"x"), ("../evil", b"x")))
    assert "leads out" in step.run("checkout", source=snapshot_source(evil)).error
    assert "404" in step.run("checkout", source=snapshot_source("sha256:" + "0" * 64)).error
    assert "the snapshot's digest" in step.run("checkout", source=snapshot_source("sha256:../../x")).error
    service.token = "another"
    assert "401" in step.run("checkout", source=snapshot_source(digest)).error
    assert step.tree() == {"mine.txt": "x"}
    assert [path.name for path in step.workspace.iterdir()] == ["mine.txt"]


def test_a_jobs_token_does_not_follow_a_redirect_to_another_server(
    step: Step, service: ResultsService
) -> None:
    with serve_results() as other:
        digest = other.add_snapshot(tar_of(("train.py", b"evil")))
        place = f"{other.url}/api/v1/snapshots/{digest}"
        service.faults = [Fault("snapshots", status=302, headers=(("Location", place),))]
        assert "401" in step.run("checkout", source=snapshot_source(digest)).error
        assert other.requests


def test_in_a_local_run_the_code_is_there_already(local_step: Step) -> None:
    local_step.put("train.py", "print(1)")
    local_step.put("sub/data.txt", "1 2 3")
    source = {"kind": "folder", "commit": "c" * 40, "ref": "", "url": "", "digest": ""}
    done = local_step.run("checkout", source=source)
    assert (done.code, done.outputs["commit"]) == (0, "c" * 40)
    assert local_step.tree() == FILES
    assert local_step.run("checkout", source=source, path="deep/code").code == 0
    assert local_step.tree("deep/code") == FILES


def test_a_run_without_code_says_what_to_do(step: Step) -> None:
    for done in (step.run("checkout"), step.run("checkout", source={"kind": "none"})):
        assert "this run has no code" in done.error
        assert "--source git" in done.error
    assert "no other 'ref'" in step.run("checkout", source={"kind": "folder"}, ref="v1").error


def test_a_source_that_is_no_json_is_an_error_of_ours(step: Step) -> None:
    step.environment["FLOW_SOURCE"] = "{"
    assert "FLOW_SOURCE" in step.run("checkout").error
