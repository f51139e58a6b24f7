"""A work tree on its way through a snapshot: what lies there is what the checkout lays down, as a clone would."""

import os
import subprocess
from pathlib import Path

import pytest
from support.git import Repository, make_repository
from support.results_service import ResultsService

from agent.cli.flow.source import list_snapshot, write_snapshot

from .conftest import Step
from .test_archives import tar_of
from .test_checkout import snapshot_source


def send(folder: Path, service: ResultsService) -> dict[str, str]:
    """The source of a run of the work tree in `folder`."""
    archive = folder.with_name("snapshot.tar.gz")
    write_snapshot(*list_snapshot(folder), archive)
    return snapshot_source(service.add_snapshot(archive.read_bytes()))


def describe(folder: Path) -> dict[str, str]:
    """Every entry below `folder` that is no part of a repository: what a link says, what a file holds, and whether it runs."""
    found = {}
    for path, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        for name in [*folders, *files]:
            place = Path(path, name)
            if name == ".git":
                continue
            if place.is_symlink():
                found[str(place.relative_to(folder))] = f"-> {os.readlink(place)}"  # noqa: PTH115 - as text
            elif place.is_file():
                mode = "x" if place.stat().st_mode & 0o100 else "-"
                found[str(place.relative_to(folder))] = f"{mode} {place.read_bytes()!r}"
            elif not os.listdir(place):  # noqa: PTH208
                found[str(place.relative_to(folder))] = "empty"
    return found


@pytest.fixture
def project(tmp_path: Path) -> Repository:
    """A repository with all that git takes and a reader may stumble over."""
    library = make_repository(tmp_path / "library", {"lib.py": "x = 1\n", "deep/more.py": "y = 2\n"})
    made = make_repository(tmp_path / "project", {"sub/file": "x", "Makefile": "1", "makefile": "2"})
    made.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", library.url, "third/library")
    names = ("a\\b", "line\nbreak", "\x1b[2J", "C:drive", os.fsdecode(b"caf\xe9.txt"), "-dash", "folder\\/in")
    for name in names:
        place = made.folder / name
        place.parent.mkdir(exist_ok=True)
        place.write_text(name.encode("unicode_escape", "backslashreplace").decode())
    links = {"data": "/mnt/datasets", "up": "../../outside", "folder": "sub", "gone": "nowhere", "me": "me"}
    for name, target in links.items():
        (made.folder / name).symlink_to(target)
    (made.folder / "run.sh").write_text("#!/bin/sh\n")
    (made.folder / "run.sh").chmod(0o755)
    (made.folder / "empty").touch()
    os.link(made.folder / "Makefile", made.folder / "second name")
    made.commit({})
    return made


def test_a_snapshot_arrives_as_a_clone_would(
    project: Repository, step: Step, service: ResultsService, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    command = ["git", "-c", "protocol.file.allow=always", "clone", "-q", "--recurse-submodules"]
    subprocess.run([*command, project.url, str(clone)], check=True)
    done = step.run("checkout", source=send(project.folder, service))
    assert done.code == 0, done.log
    assert describe(step.workspace) == describe(clone) == describe(project.folder)
    assert "third/library/deep/more.py" in describe(step.workspace)
    again = step.run("checkout", source=send(project.folder, service))  # over what is there
    assert again.code == 0, again.log
    assert describe(step.workspace) == describe(clone)


def test_what_is_not_committed_in_a_submodule_or_a_repository_within_arrives_too(
    project: Repository, step: Step, service: ResultsService
) -> None:
    (project.folder / "third" / "library" / "lib.py").write_text("x = 'edited'\n")
    inner = make_repository(project.folder / "tools" / "inner", {"kept": "k", ".gitignore": "ignored\n"})
    (inner.folder / "ignored").write_text("i")
    (inner.folder / "new").write_text("n")
    done = step.run("checkout", source=send(project.folder, service))
    assert done.code == 0, done.log
    found = describe(step.workspace)
    assert found["third/library/lib.py"] == repr(b"x = 'edited'\n").replace("b", "- b", 1)
    assert {name for name in found if name.startswith("tools/")} == {
        "tools/inner/kept",
        "tools/inner/.gitignore",
        "tools/inner/new",
    }
    assert not (step.workspace / "tools" / "inner" / ".git").exists()


def test_a_submodule_that_is_not_checked_out_is_an_empty_folder_as_in_a_clone(
    project: Repository, step: Step, service: ResultsService
) -> None:
    project.git("submodule", "deinit", "-q", "-f", "third/library")
    done = step.run("checkout", source=send(project.folder, service))
    assert done.code == 0, done.log
    assert describe(step.workspace)["third/library"] == "empty"


def test_a_link_in_the_place_of_a_tracked_folder_arrives_as_the_link(
    project: Repository, step: Step, service: ResultsService
) -> None:
    (project.folder / "sub" / "file").unlink()
    (project.folder / "sub").rmdir()
    (project.folder / "other").mkdir()
    (project.folder / "other" / "file").write_text("o")
    (project.folder / "sub").symlink_to("other")
    done = step.run("checkout", source=send(project.folder, service))
    assert done.code == 0, done.log
    assert describe(step.workspace) == describe(project.folder)


def test_nothing_of_a_snapshot_is_written_through_its_own_links(
    step: Step, service: ResultsService, tmp_path: Path
) -> None:
    (tmp_path / "target").mkdir()
    content = tar_of(("link", str(tmp_path / "target")), ("link/evil", b"x"))
    done = step.run("checkout", source=snapshot_source(service.add_snapshot(content)))
    assert "is there twice" in done.error
    assert list((tmp_path / "target").iterdir()) == []
