"""git-checkout clones a repository into a folder of the job's data."""

import subprocess
from pathlib import Path

import pytest
from support.git import Repository, make_repository, serve_git

from .conftest import Done, Step

FILES = {"train.py": "print(1)", "sub/data.txt": "1 2 3"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return make_repository(tmp_path / "git" / "acme" / "code", FILES)


def clone(step: Step, path: str = "outputs/repo", **more: object) -> Done:
    outputs = step.folder / "outputs"
    outputs.mkdir(exist_ok=True)
    step.environment |= {"FLOW_OUTPUTS": str(outputs), "FLOW_INPUTS": str(step.folder / "inputs")}
    return step.run("git-checkout", path=path, **more)


def tree(step: Step, folder: str = "repo") -> dict[str, str]:
    root = step.folder / "outputs" / folder
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


def source_of(repository: Repository) -> dict[str, str]:
    return {"kind": "git", "url": repository.url, "ref": "refs/heads/main", "commit": repository.head}


def test_a_repository_is_cloned_with_its_history(step: Step, repository: Repository) -> None:
    repository.commit({"train.py": "newer"})
    done = clone(step, url=repository.url)
    assert done.code == 0, done.log
    assert tree(step) == {**FILES, "train.py": "newer"}
    assert done.outputs == {"commit": repository.head, "ref": "refs/heads/main"}
    log = subprocess.run(
        ["git", "log", "--oneline"],
        cwd=step.folder / "outputs/repo",
        check=True,
        capture_output=True,
        text=True,
    )
    assert len(log.stdout.splitlines()) == 2


def test_a_ref_and_a_folder_below_the_output(step: Step, repository: Repository) -> None:
    first = repository.head
    repository.commit({"train.py": "newer"})
    done = clone(step, url=repository.url, ref=first, path="outputs/repo/deep/er")
    assert (done.code, done.outputs["commit"]) == (0, first)
    assert tree(step, "repo/deep/er") == FILES


@pytest.mark.parametrize("url", ["", "its own"])
def test_the_repository_of_the_run_is_had_at_the_runs_commit(
    url: str, step: Step, repository: Repository
) -> None:
    source = source_of(repository)
    repository.commit({"train.py": "newer"})
    done = clone(step, url=repository.url if url else "", source=source)
    assert (done.code, done.outputs["commit"]) == (0, source["commit"])
    assert tree(step) == FILES


def test_a_local_run_has_its_working_tree(step: Step) -> None:
    step.put("train.py", "not committed")
    done = clone(step, url="", source={"kind": "folder"})
    assert done.code == 0, done.log
    assert tree(step) == {"train.py": "not committed"}


def test_a_private_repository_is_opened_by_its_password_which_nothing_shows(
    step: Step, repository: Repository
) -> None:
    with serve_git(repository.folder.parents[1]) as host:
        host.credentials = "ada:s3cr3t"
        url = f"{host.url}/acme/code"
        assert clone(step, url=url).code == 1
        done = clone(step, url=url, username="ada", password="s3cr3t")
    assert done.code == 0, done.log
    assert tree(step) == FILES
    assert "s3cr3t" not in done.log
    config = (step.folder / "outputs/repo/.git/config").read_text()
    assert "s3cr3t" not in config
    assert "Authorization" not in config


def test_a_run_without_code_says_what_to_do(step: Step) -> None:
    done = clone(step, url="")
    assert done.code == 1
    assert "this run has no code" in done.error
    assert "give the input `url:`" in done.error
