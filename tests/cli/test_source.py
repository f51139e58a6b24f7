"""The code of a run: what git says, and a snapshot that holds what is not committed."""

import os
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support.git import make_repository
from support.rights import without_override

from agent.cli.flow.source import choose_source, list_snapshot, write_snapshot
from agent.cli.local_files.checkout import find_checkout, find_code_folder
from agent.errors import UsageError
from agent.spec.job import SourceKind


def pack(folder: Path, archive: Path, *excluded: str) -> str:
    top, files = list_snapshot(folder, excluded)
    return write_snapshot(top, files, archive)


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


def test_a_work_tree_may_lie_in_a_folder_whose_name_is_no_utf_8(tmp_path: Path) -> None:
    top = tmp_path / os.fsdecode(b"caf\xe9")
    make_repository(top, {"file": "x"})
    checkout = find_checkout(top)
    assert checkout is not None
    assert checkout.top == top


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
    pack(top, tmp_path / "s.tar.gz")
    assert names(tmp_path / "s.tar.gz") == [".gitignore", "kept", "link", "new", "run.sh"]
    with tarfile.open(tmp_path / "s.tar.gz") as tar:
        assert tar.getmember("run.sh").mode == 0o755
        assert tar.getmember("link").issym()


def test_the_same_tree_gives_the_same_digest_wherever_and_whenever(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "two"):
        make_repository(tmp_path / name, {"file": "x", "folder/other": "y"})
        digests.add(pack(tmp_path / name, tmp_path / f"{name}.tar.gz"))
    assert len(digests) == 1
    (tmp_path / "two" / "file").write_text("changed")
    assert pack(tmp_path / "two", tmp_path / "two.tar.gz") not in digests


def test_a_folder_outside_of_git_can_be_a_snapshot_too(tmp_path: Path) -> None:
    (tmp_path / "f" / "sub").mkdir(parents=True)
    (tmp_path / "f" / "sub" / "file").write_text("x")
    pack(tmp_path / "f", tmp_path / "s.tar.gz")
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


def test_what_is_excluded_is_not_in_a_snapshot(tmp_path: Path) -> None:
    top = tmp_path / "r"
    make_repository(
        top, {"a.py": "x", "data/1.bin": "x", "data/deep/2.txt": "x", "lib/data.py": "x", "lib/m.bin": "x"}
    )
    pack(top, tmp_path / "s.tar.gz", "data/")
    assert names(tmp_path / "s.tar.gz") == ["a.py", "lib/data.py", "lib/m.bin"]
    pack(top, tmp_path / "s.tar.gz", "*.bin", "lib/data.py")
    assert names(tmp_path / "s.tar.gz") == ["a.py", "data/deep/2.txt"]


def test_the_bytes_of_a_snapshot_are_counted_as_they_are_packed(tmp_path: Path) -> None:
    top = tmp_path / "r"
    make_repository(top, {"a": "x" * 10, "b": "y" * 100_000})
    (top / "link").symlink_to("a")
    _top, files = list_snapshot(top)
    counted: list[int] = []
    write_snapshot(top, files, tmp_path / "s.tar.gz", counted.append)
    assert sum(counted) == sum(file.size_bytes for file in files) == 100_010
    assert len(counted) > 2


@pytest.mark.parametrize(
    "how", ["<(cat hello.yml)", "/dev/stdin < hello.yml", "/dev/fd/3 3< hello.yml", "../loose.yml"]
)
def test_code_that_no_file_names_is_that_of_the_current_folder(tmp_path: Path, how: str) -> None:
    project = make_repository(tmp_path / "project", {"hello.yml": "1", "sub/a.py": "1"}).folder
    (tmp_path / "loose.yml").touch()
    program = "import pathlib, sys; from agent.cli.local_files.checkout import find_code_folder as find; print(find(pathlib.Path(sys.argv[1])))"
    command = f"{sys.executable} -c '{program}' {how}"
    done = subprocess.run(["bash", "-c", command], cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout == f"{project}\n"


def test_code_is_that_of_the_work_tree_that_the_file_lies_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_repository(tmp_path / "project", {"sub/hello.yml": "1"}).folder
    monkeypatch.chdir(make_repository(tmp_path / "other").folder)
    assert find_code_folder(project / "sub" / "hello.yml") == project / "sub"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loose").mkdir()
    assert find_code_folder(tmp_path / "loose" / "hello.yml") == tmp_path / "loose"


def test_what_no_snapshot_can_hold_is_refused_by_its_name_unless_it_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "kept").write_text("x")
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "server.sock"))
    with pytest.raises(UsageError, match="'pipe' is a named pipe, which can't be sent") as refused:
        list_snapshot(folder)
    assert "--exclude 'pipe'" in refused.value.hint
    with pytest.raises(UsageError, match=r"'server\.sock' is a socket"):
        list_snapshot(folder, ["pipe"])
    pack(folder, tmp_path / "s.tar.gz", "pipe", "*.sock")
    assert names(tmp_path / "s.tar.gz") == ["kept"]


def test_a_repository_within_that_git_cannot_read_is_refused_by_its_name(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "r", {"file": "x"}).folder
    inner = make_repository(top / "inner", {"file": "x"}).folder
    (inner / ".git" / "index").write_bytes(b"no index")
    with pytest.raises(UsageError, match="git can't list what is there") as refused:
        list_snapshot(top)
    assert refused.value.where == str(inner)
    assert [file.name for file in list_snapshot(top, ["inner"])[1]] == ["file"]


def test_what_is_left_out_of_a_repository_within_is_named_from_the_top(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "r", {"file": "x"}).folder
    make_repository(top / "inner", {"data/1.bin": "x", "code.py": "x"})
    pack(top, tmp_path / "s.tar.gz", "inner/data/")
    assert names(tmp_path / "s.tar.gz") == ["file", "inner/code.py"]


def test_what_may_not_be_read_is_refused_by_its_name(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; from agent.cli.flow.source import list_snapshot\n"
        "from agent.errors import UsageError\n"
        "try: list_snapshot(pathlib.Path(sys.argv[1]))\n"
        "except UsageError as error: print(error)"
    )
    for folder in (tmp_path / "plain", make_repository(tmp_path / "r").folder):
        (folder / "closed").mkdir(parents=True)
        (folder / "closed" / "file").write_text("x")
        (folder / "closed").chmod(0)
        command = [*without_override(), sys.executable, "-c", program, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "closed" in done.stdout
        assert "Permission denied" in done.stdout
        (folder / "closed").chmod(0o755)
