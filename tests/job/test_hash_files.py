"""hashFiles names files as @actions/glob does."""

import hashlib
import os
from pathlib import Path

import pytest
from support.nesting import nest

from agent.flow.expressions import ExpressionError
from agent.job.steps.hash_files import hash_files
from agent.trees import remove_tree


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in ("a.txt", "b.md", "sub/c.txt", "sub/.hidden/d.txt", "sub/deep/e.txt", "[x].txt"):
        file = tmp_path / "ws" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    (tmp_path / "outside.txt").write_text("outside")
    return tmp_path / "ws"


def expected(*names: str) -> str:
    digests = (hashlib.sha256(name.encode()).digest() for name in names)
    return hashlib.sha256(b"".join(digests)).hexdigest() if names else ""


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["a.txt"], ["a.txt"]),
        (["*.txt"], ["[x].txt", "a.txt"]),
        (["**/*.txt"], ["[x].txt", "a.txt", "sub/.hidden/d.txt", "sub/c.txt", "sub/deep/e.txt"]),
        (["sub"], ["sub/.hidden/d.txt", "sub/c.txt", "sub/deep/e.txt"]),
        (["sub/**", "!sub/deep"], ["sub/.hidden/d.txt", "sub/c.txt"]),
        (["sub/**\n!**/*.txt\nsub/c.txt"], ["sub/c.txt"]),
        (["./sub/?.txt", "b.md"], ["sub/c.txt", "b.md"]),
        (["[ab].*"], ["a.txt", "b.md"]),
        (["\\[x\\].txt"], ["[x].txt"]),
        (["# comment", "nothing"], []),
        (["../outside.txt", "/etc/passwd"], []),
        (["A.TXT"], []),
    ],
)
def test_patterns_name_files_in_globs_order(workspace: Path, patterns: list[str], names: list[str]) -> None:
    assert hash_files(workspace, patterns) == expected(*names)


def test_links_to_folders_are_followed_only_on_request(workspace: Path) -> None:
    (workspace / "sub" / "loop").symlink_to(workspace / "sub")
    (workspace / "link").symlink_to(workspace / "sub" / "deep")
    assert hash_files(workspace, ["link/**"]) == ""
    assert hash_files(workspace, ["--follow-symbolic-links", "link/**"]) == expected("sub/deep/e.txt")
    assert hash_files(workspace, ["**/e.txt"]) == expected("sub/deep/e.txt")
    assert hash_files(workspace, ["--follow-symbolic-links", "**/e.txt"]) == expected(
        "sub/deep/e.txt", "sub/deep/e.txt"
    )


def test_an_unknown_option_is_an_error(workspace: Path) -> None:
    with pytest.raises(ExpressionError, match="Invalid glob option --x"):
        hash_files(workspace, ["--x", "a.txt"])


def test_hundreds_of_nested_folders_are_looked_through(workspace: Path) -> None:
    nest(workspace / "top", 700)
    assert hash_files(workspace, ["top/**"]) == expected(*[""] * 700)
    assert hash_files(workspace, ["--follow-symbolic-links", "top/**"]) == expected(*[""] * 700)
    assert not remove_tree(workspace)


def test_a_path_that_no_system_call_takes_is_an_error_of_the_expression(workspace: Path) -> None:
    nest(workspace / "top", 1_100)
    with pytest.raises(ExpressionError, match="hashFiles failed: File name too long"):
        hash_files(workspace, ["**"])
    assert not remove_tree(workspace)


def test_a_fifo_is_passed_over(workspace: Path) -> None:
    os.mkfifo(workspace / "fifo")
    assert hash_files(workspace, ["fifo", "a.txt"]) == expected("a.txt")
