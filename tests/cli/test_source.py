"""The code of a run: what git says, and a snapshot that holds what is not committed."""

import tarfile
from pathlib import Path

import pytest
from support.git import make_repository

from agent.cli.checkout import find_checkout
from agent.cli.source import choose_source, write_snapshot
from agent.errors import UsageError
from agent.spec.job import SourceKind


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as tar:
        return tar.getnames()


def test_a_folder_outside_of_git_is_no_checkout(tmp_path: Path) -> None:
    assert find_checkout(tmp_path) is None
    assert choose_source(None, tmp_path).kind is SourceKind.NONE


def test_a_work_tree_tells_top_branch_and_commit(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "r", {"a/file": "x"})
    checkout = find_checkout(tmp_path / "r" / "a")
    assert checkout is not None
    assert (checkout.top, checkout.url) == (tmp_path / "r", "")
    assert checkout.ref.startswith("refs/heads/")
    assert checkout.commit == repository.head


def test_a_work_tree_without_a_commit_is_one_all_the_same(tmp_path: Path) -> None:
    import subprocess

    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    checkout = find_checkout(tmp_path)
    assert checkout is not None
    assert (checkout.top, checkout.ref, checkout.commit) == (tmp_path, "", "")


def test_a_snapshot_has_what_is_not_committed_and_not_what_is_ignored(tmp_path: Path) -> None:
    top = tmp_path / "r"
    make_repository(top, {"kept": "x", "gone": "x", ".gitignore": "ignored\n"})
    (top / "gone").unlink()
    (top / "new").write_text("n")
    (top / "ignored").write_text("i")
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o700)
    (top / "link").symlink_to("kept")
    write_snapshot(top, tmp_path / "s.tar.gz")
    assert names(tmp_path / "s.tar.gz") == [".gitignore", "kept", "link", "new", "run.sh"]
    with tarfile.open(tmp_path / "s.tar.gz") as tar:
        assert tar.getmember("run.sh").mode == 0o755
        assert tar.getmember("link").issym()


def test_the_same_tree_gives_the_same_digest_wherever_and_whenever(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        make_repository(tmp_path / name, {"file": "x", "folder/other": "y"})
        digests.add(write_snapshot(tmp_path / name, tmp_path / f"{name}.tar.gz"))
    assert len(digests) == 1
    (tmp_path / "two" / "file").write_text("changed")
    assert write_snapshot(tmp_path / "two", tmp_path / "two.tar.gz") not in digests


def test_a_folder_outside_of_git_can_be_a_snapshot_too(tmp_path: Path) -> None:
    (tmp_path / "f" / "sub").mkdir(parents=True)
    (tmp_path / "f" / "sub" / "file").write_text("x")
    write_snapshot(tmp_path / "f", tmp_path / "s.tar.gz")
    assert names(tmp_path / "s.tar.gz") == ["sub/file"]
    assert choose_source("snapshot", tmp_path / "f").kind is SourceKind.SNAPSHOT


def test_a_git_source_has_to_be_pushed(tmp_path: Path) -> None:
    import subprocess

    origin = make_repository(tmp_path / "origin", {"file": "x"})
    subprocess.run(["git", "clone", "-q", str(tmp_path / "origin"), str(tmp_path / "clone")], check=True)
    source = choose_source("git", tmp_path / "clone")
    assert (source.kind, source.commit) == (SourceKind.GIT, origin.head)
    assert source.url == str(tmp_path / "origin")
    (tmp_path / "clone" / "more").write_text("y")
    for words in (["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "more"]):
        subprocess.run(["git", "-C", str(tmp_path / "clone"), *words], check=True)
    with pytest.raises(UsageError, match="is on no branch of 'origin'"):
        choose_source("git", tmp_path / "clone")
    with pytest.raises(UsageError, match="needs a git work tree with a remote"):
        choose_source("git", tmp_path / "origin")
