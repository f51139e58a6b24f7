"""A work tree as a commit on top of its HEAD: what git would take, and nothing of the user's is written to."""

import os
import subprocess
from pathlib import Path

import pytest
from support.git import Repository, make_repository

from agent.serving_git.work_tree import Code, commit_work_tree


@pytest.fixture
def code(tmp_path: Path) -> Repository:
    return make_repository(
        tmp_path / "code", {"one.txt": "1\n", "sub/two.txt": "2\n", ".gitignore": "*.log\n"}
    )


def look(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    """Contents and times; git touches objects that it would write again, so that nobody prunes them."""
    return {
        str(path): (0 if "objects" in path.parts else path.stat().st_mtime_ns, path.read_bytes())
        for path in files
    }


def read(code: Repository, made: Code, name: str) -> bytes:
    environment = {**os.environ, "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(made.objects[0])}
    command = ["git", "-C", str(code.folder), "cat-file", "blob", f"{made.tip}:{name}"]
    return subprocess.run(command, env=environment, capture_output=True, check=True).stdout


def test_a_tree_as_head_has_it_is_head(code: Repository, tmp_path: Path) -> None:
    made = commit_work_tree(code.folder, tmp_path / "made")
    assert (made.tip, made.base) == (code.head, code.head)
    assert made.refs == {"refs/heads/main": code.head, "refs/tags/v1": code.head}


def test_a_change_of_the_same_length_right_after_a_commit_is_seen(code: Repository, tmp_path: Path) -> None:
    for number in range(10):
        code.commit({"one.txt": f"{number}\n"})
        (code.folder / "one.txt").write_text("x\n")
        made = commit_work_tree(code.folder, tmp_path / f"made-{number}")
        assert read(code, made, "one.txt") == b"x\n"


def test_nothing_of_the_repository_is_written_to(code: Repository, tmp_path: Path) -> None:
    (code.folder / "one.txt").write_text("changed\n")
    (code.folder / "new.log").write_text("ignored\n")
    code.git("update-index", "--chmod=+x", "sub/two.txt")
    before = look(code.folder)
    first = commit_work_tree(code.folder / "sub", tmp_path / "first")
    assert look(code.folder) == before
    assert commit_work_tree(code.folder, tmp_path / "second").tip == first.tip


def test_the_branches_are_those_of_origin_and_the_one_that_is_checked_out(
    code: Repository, tmp_path: Path
) -> None:
    code.git("clone", "--quiet", str(code.folder), str(tmp_path / "clone"))
    code.commit({"one.txt": "2\n"})
    clone = Repository(tmp_path / "clone")
    clone.git("checkout", "--quiet", "-b", "topic")
    clone.git("branch", "--quiet", "private")
    clone.commit({"one.txt": "mine\n"})
    made = commit_work_tree(clone.folder, tmp_path / "made")
    assert set(made.refs) == {"refs/heads/main", "refs/heads/topic", "refs/tags/v1"}
    assert made.refs["refs/heads/topic"] == made.tip == clone.head
    assert made.default_branch == "main"


def test_a_folder_outside_of_git_is_a_first_commit(tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = commit_work_tree(folder, tmp_path / "first")
    assert first.base == ""
    assert commit_work_tree(folder, tmp_path / "second").tip == first.tip
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_what_is_left_out_is_not_in_it(code: Repository, tmp_path: Path) -> None:
    made = commit_work_tree(code.folder, tmp_path / "made", lambda name: name.startswith("sub/"))
    with pytest.raises(subprocess.CalledProcessError):
        read(code, made, "sub/two.txt")
    assert read(code, made, "one.txt") == b"1\n"


def test_repositories_within_are_told_of_where_git_has_less_than_there_is(
    code: Repository, tmp_path: Path
) -> None:
    part = make_repository(tmp_path / "part", {"file": "1"})
    code.git("-c", "protocol.file.allow=always", "submodule", "add", "--quiet", part.url, "part")
    make_repository(code.folder / "other", {"file": "x"})
    made = commit_work_tree(code.folder, tmp_path / "made")
    assert [(one.path, one.commit, one.url) for one in made.nested] == [
        ("other", Repository(code.folder / "other").head, ""),
        ("part", part.head, part.url),
    ]
    assert [doubt.partition(" ")[0] for doubt in made.list_doubts()] == ["other"]
    (code.folder / "part" / "file").write_text("2")
    made = commit_work_tree(code.folder, tmp_path / "again")
    assert [doubt.partition(" ")[0] for doubt in made.list_doubts()] == ["other", "part"]
