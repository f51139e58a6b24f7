"""What is kept for all jobs is believed as long as nobody has touched it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support.jobs import run_job, uses
from support.nesting import nest

from agent.job.runtimes.kept import clean_home, digest_tree, is_kept, keep
from agent.job.runtimes.python import _lists_names


def make_at(folder: Path) -> Callable[[], None]:
    def make() -> None:
        (folder / "bin").mkdir(parents=True)
        (folder / "bin/tool").write_text("genuine")
        (folder / "link").symlink_to("bin/tool")

    return make


def rewrite(file: Path) -> None:
    """Other bytes, and all that a user can put back is as it was."""
    facts = file.stat()
    file.chmod(0o644)
    file.write_text("planted")
    file.chmod(facts.st_mode)
    os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def relink(file: Path) -> None:
    file.unlink()
    file.symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: rewrite(folder / "bin/tool"),
        lambda folder: (folder / "x.pth").write_text("import os"),
        lambda folder: (folder / "bin/tool").unlink(),
        lambda folder: relink(folder / "link"),
        lambda folder: (folder / "bin").chmod(0o777),
        lambda folder: folder.with_name("kept.seal").unlink(),
        lambda folder: (folder.with_name("kept.seal").unlink(), os.mkfifo(folder.with_name("kept.seal"))),
        lambda folder: nest(folder / "bin/deep", 1_100),
    ],
    ids=["bytes", "added", "removed", "link", "rights", "no seal", "a FIFO for a seal", "very deep folders"],
)
def test_what_was_changed_is_made_again(tmp_path: Path, harm: Callable[[Path], object]) -> None:
    folder = tmp_path / "kept"
    keep(folder, make_at(folder))
    assert is_kept(folder)
    inode = (folder / "bin/tool").stat().st_ino
    keep(folder, lambda: pytest.fail("it is as it was"))
    assert (folder / "bin/tool").stat().st_ino == inode
    harm(folder)
    assert not is_kept(folder)
    keep(folder, make_at(folder))
    assert (folder / "bin/tool").read_text() == "genuine"
    assert sorted(entry.name for entry in folder.iterdir()) == ["bin", "link"]


def test_what_could_not_be_made_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        keep(tmp_path / "kept", lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    assert not is_kept(tmp_path / "kept")


@pytest.mark.parametrize(
    ("text", "is_plain"),
    [
        ("# nothing\n\n", True),
        ("numpy==2.1.0\ntorch[extra] >= 2, <3 ; python_version < '3.13'  # why\n", True),
        (f"numpy==2.1.0 \\\n    --hash=sha256:{'0' * 64}\n", True),
        ("-r more.txt\n", False),
        ("--index-url https://example.org\n", False),
        ("./beside\n", False),
        ("tool @ file:///tmp/x\n", False),
        ("git+https://example.org/x\n", False),
        ("-e .\n", False),
    ],
)
def test_only_a_list_of_names_is_one_environment_for_all_actions(text: str, is_plain: bool) -> None:
    assert _lists_names(text.encode()) is is_plain


def test_two_actions_with_one_pyproject_and_other_code_are_two(tmp_path: Path) -> None:
    for name, code in (("one", "a = 1"), ("two", "a = 2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text("[project]\nname = 'x'\n")
        (tmp_path / name / "x.py").write_text(code)
    assert digest_tree(tmp_path / "one") != digest_tree(tmp_path / "two")
    (tmp_path / "two/x.py").write_text("a = 1")
    assert digest_tree(tmp_path / "one") == digest_tree(tmp_path / "two")


def test_actions_whose_lists_name_other_files_share_no_environment(tmp_path: Path) -> None:
    place = tmp_path / "place"
    for name, more in (("one", "# a\n"), ("two", "# b\n")):
        (place / name).mkdir(parents=True)
        (place / name / "action.yml").write_text("name: p\nruns: {using: python, main: main.py}\n")
        (place / name / "main.py").write_text("import sys\nprint(sys.prefix)\n")
        (place / name / "requirements.txt").write_text("-r more.txt\n")
        (place / name / "more.txt").write_text(more)
    steps = (uses("one", "./one"), uses("two", "./two"), uses("again", "./one"))
    report = run_job(tmp_path, *steps, settings={"workspace": place})
    first, second, third = (report.output_of(name) for name in ("one", "two", "again"))
    assert first == third != second


def test_what_is_kept_is_made_with_an_empty_home(tmp_path: Path) -> None:
    with clean_home(tmp_path, {"HOME": "/the/jobs", "A": "b"}, is_needed=True) as environment:
        assert environment["A"] == "b"
        assert list(Path(environment["HOME"]).iterdir()) == []
    assert not Path(environment["HOME"]).exists()
    with clean_home(tmp_path, {"HOME": "/the/users"}, is_needed=False) as environment:
        assert environment["HOME"] == "/the/users"
