"""Which files a `path:` means, and from where their names count."""

from pathlib import Path

import pytest
from _toolkit.globs import find_files

FILES = [
    "a.txt",
    "b.log",
    "out/model.bin",
    "out/deep/x.txt",
    "out/deep/y.log",
    "out/.hidden",
    ".git/config",
    "[x]/a?.txt",
]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name in FILES:
        path = tmp_path / "work [1]*" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path / "work [1]*"


@pytest.mark.parametrize(
    ("lines", "root", "names"),
    [
        ("a.txt", ".", ["a.txt"]),
        ("./a.txt", ".", ["a.txt"]),
        ("out/deep/x.txt", "out/deep", ["x.txt"]),
        ("out", "out", ["deep/x.txt", "deep/y.log", "model.bin"]),
        ("out/", "out", ["deep/x.txt", "deep/y.log", "model.bin"]),
        (".", ".", ["[x]/a?.txt", "a.txt", "b.log", "out/deep/x.txt", "out/deep/y.log", "out/model.bin"]),
        ("*.txt", ".", ["a.txt"]),
        ("*", ".", ["[x]/a?.txt", "a.txt", "b.log", "out/deep/x.txt", "out/deep/y.log", "out/model.bin"]),
        ("**/*.txt", ".", ["[x]/a?.txt", "a.txt", "out/deep/x.txt"]),
        ("out/**", "out", ["deep/x.txt", "deep/y.log", "model.bin"]),
        ("out/**/x.txt", "out", ["deep/x.txt"]),
        ("out/d*p/?.log", "out", ["deep/y.log"]),
        ("out/deep/[xz].txt", "out/deep", ["x.txt"]),
        ("out/deep/[!x].*", "out/deep", ["y.log"]),
        ("[[]x]/a[?].txt", "[x]", ["a?.txt"]),
        ("out\n!out/deep", "out", ["model.bin"]),
        ("out\n!**/*.log", "out", ["deep/x.txt", "model.bin"]),
        ("out\n!out/deep\nout/deep/y.log", "out", ["deep/y.log", "model.bin"]),
        ("!out/deep\nout", "out", ["deep/x.txt", "deep/y.log", "model.bin"]),
        ("# a comment\n\n  a.txt  ", ".", ["a.txt"]),
        ("a.txt\nout/model.bin", ".", ["a.txt", "out/model.bin"]),
        ("out/model.bin\nout/deep/x.txt", "out", ["deep/x.txt", "model.bin"]),
        ("out/deep\nout", "out", ["deep/x.txt", "deep/y.log", "model.bin"]),
        ("absent\na.txt", ".", ["a.txt"]),
        ("out/.hidden", "out/.hidden", []),
        ("absent", "absent", []),
    ],
)
def test_patterns_mean_files(lines: str, root: str, names: list[str], workspace: Path) -> None:
    found = find_files(lines, workspace, with_hidden=False)
    assert found.root == workspace / root
    assert [entry.name for entry in found.entries] == names


def test_hidden_files_come_when_asked_for(workspace: Path) -> None:
    found = find_files("out", workspace, with_hidden=True)
    assert ".hidden" in [entry.name for entry in found.entries]


def test_the_home_folder_and_absolute_paths_may_be_named(workspace: Path, own_home: Path) -> None:
    (own_home / "result.txt").write_text("x")
    found = find_files("~/result.txt", workspace, with_hidden=False)
    assert (found.root, [entry.name for entry in found.entries]) == (own_home, ["result.txt"])
    found = find_files(f"{own_home}/*.txt", workspace, with_hidden=False)
    assert [entry.name for entry in found.entries] == ["result.txt"]
