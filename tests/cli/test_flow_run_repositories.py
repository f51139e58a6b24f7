"""`agent flow run`: whatever a job does to git in its copy of a folder, the original and all that belongs to it stay as they are."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.git import make_repository
from support.lab import Done, run_agent

from agent.cli.local_run.copy_plan import copy_planned
from agent.cli.local_run.workspace_copy import plan_copy

# What a job may do that a repository or its work tree doesn't survive, and what writes where settings say.
DESTRUCTION = """
git status --short > /dev/null
git clean -qffdx
git reset -q --hard
hooks=$(git rev-parse --git-path hooks) && mkdir -p "$hooks" && touch "$hooks/installed"
git config user.name job
git worktree repair
git worktree list --porcelain | sed -n 's/^worktree //p' | while read tree; do git worktree remove -f "$tree"; done
git worktree prune --expire now
git checkout -q --detach
git for-each-ref --format 'delete %(refname)' | git update-ref --stdin
git reflog expire --expire=now --all
git gc -q --prune=now
git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m lost
git symbolic-ref HEAD refs/heads/lost
echo changed >> "$(git rev-parse --git-path config)"
"""


def look(folder: Path) -> dict[str, object]:
    """All that lies in the folder, and what is in it."""
    return {
        str(path): path.readlink()
        if path.is_symlink()
        else (stat.S_IMODE(path.stat().st_mode), path.read_bytes() if path.is_file() else None)
        for path in folder.rglob("*")
    }


def git(folder: Path, *arguments: str) -> str:
    own = ("-c", "protocol.file.allow=always", "-c", "user.name=a", "-c", "user.email=a@example.org")
    words = ["git", *own, "-C", str(folder), *arguments]
    return subprocess.run(words, capture_output=True, check=True, text=True).stdout.strip()


def lead_work_tree_here(project: Path) -> None:
    git(project, "config", "core.worktree", str(project))


def lead_work_tree_away(project: Path) -> None:
    git(project, "config", "core.worktree", str(project.parent / "elsewhere"))


def lead_work_tree_of_submodule(project: Path) -> None:
    git(project / "part", "config", "core.worktree", str(project / "part"))


def include(project: Path) -> None:
    file = project.parent / "elsewhere" / "settings"
    file.write_text(f'[core]\n\tworktree = "{project}"\n\thooksPath = {project.parent}/elsewhere/hooks\n')
    git(project, "config", "include.path", str(file))


def include_if(project: Path) -> None:
    file = project / "settings"
    file.write_text(f"[CORE]\n\tWorkTree = {project}\n[x]\n\ty\n")
    git(project, "config", f"includeIf.gitdir:{project.parent}/.path", "../settings")


def settings_of_the_work_tree(project: Path) -> None:
    git(project, "config", "extensions.worktreeConfig", "true")
    git(project, "config", "--worktree", "core.worktree", str(project))


def hooks_elsewhere(project: Path) -> None:
    git(project, "config", "core.hooksPath", str(project.parent / "elsewhere" / "hooks"))


def hooks_here(project: Path) -> None:
    (project / ".githooks").mkdir()
    git(project, "config", "core.hooksPath", str(project / ".githooks"))


def large_files_elsewhere(project: Path) -> None:
    git(project, "config", "lfs.storage", str(project.parent / "elsewhere" / "lfs"))


def borrow_objects(project: Path) -> None:
    objects = project.parent / "elsewhere" / "lender" / ".git" / "objects"
    (project / ".git/objects/info/alternates").write_text(
        f"{objects}\n../../../elsewhere/lender/.git/objects\n"
    )


def work_in_another_tree(project: Path) -> None:
    git(project, "worktree", "add", "-q", "-b", "other", str(project.parent / "elsewhere" / "other"))


def work_in_a_tree_inside(project: Path) -> None:
    git(project, "worktree", "add", "-q", "-b", "inner", str(project / "inner"))


def share_references(project: Path) -> None:
    """As contrib/workdir/git-new-workdir makes them."""
    for name in ("refs", "config", "packed-refs", "logs", "hooks"):
        away = project.parent / "elsewhere" / f"shared-{name}"
        if (project / ".git" / name).exists():
            (project / ".git" / name).rename(away)
            (project / ".git" / name).symlink_to(away)


def share_objects(project: Path) -> None:
    away = project.parent / "elsewhere" / "objects"
    (project / ".git" / "objects").rename(away)
    (project / ".git" / "objects").symlink_to("../../elsewhere/objects")


def lie_elsewhere(project: Path) -> None:
    (project / ".git").rename(project.parent / "elsewhere" / "real.git")
    (project / ".git").symlink_to(project.parent / "elsewhere" / "real.git")


def lie_elsewhere_by_a_short_way(project: Path) -> None:
    (project / ".git").rename(project.parent / "elsewhere" / "real.git")
    (project / ".git").symlink_to("../elsewhere/real.git")


def lie_elsewhere_by_file(project: Path) -> None:
    git(project, "init", "-q", "--separate-git-dir", str(project.parent / "elsewhere" / "real.git"))


def lie_under_another_name(project: Path) -> None:
    git(project, "init", "-q", "--separate-git-dir", str(project / "named"))


def link_to_itself(project: Path) -> None:
    (project / "long-way").symlink_to(project / "data.txt")
    (project / ".git" / "up").symlink_to(project.parent)


INNER: list[Callable[[Path], None]] = [
    *(lead_work_tree_here, lead_work_tree_away, lead_work_tree_of_submodule, include, include_if),
    *(settings_of_the_work_tree, hooks_elsewhere, hooks_here, large_files_elsewhere, borrow_objects),
    *(work_in_another_tree, work_in_a_tree_inside, link_to_itself),
]
SHARING: list[Callable[[Path], None]] = [share_references, share_objects]
PLACES: list[Callable[[Path], None]] = [
    *(lie_elsewhere, lie_elsewhere_by_a_short_way, lie_elsewhere_by_file, lie_under_another_name),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a submodule, uncommitted edits and untracked files; beside it a folder with another repository."""
    home = tmp_path_factory.mktemp("home")
    part = make_repository(home / "part", {"part.txt": "1"})
    project = make_repository(home / "project", {"data.txt": "1"}).folder
    git(project, "submodule", "--quiet", "add", part.url, "part")
    git(project, "commit", "-qm", "part")
    git(project, "branch", "side")
    (home / "elsewhere").mkdir()
    make_repository(home / "elsewhere" / "lender", {"lent.txt": "1"})
    for folder in (project, project / "part", home / "elsewhere"):
        (folder / "untracked").write_text("nobody else has this")
    (project / "data.txt").write_text("edited")
    return home


def copy(source: Path, target: Path) -> Path:
    copy_planned(plan_copy(source), target, lambda _: None)
    return target


def destroy(folder: Path) -> str:
    """Do it all in each repository of the folder; gives where git worked, and all that it said."""
    done = ""
    for repository in [folder, folder / "part", folder / "inner"]:
        if repository.is_dir():
            command = f"git rev-parse --show-toplevel || echo none; {DESTRUCTION}"
            environment = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
            ran = subprocess.run(
                ["sh", "-c", command],
                cwd=repository,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert ran.stdout.splitlines()[0] == str(repository), ran
            done += ran.stdout + ran.stderr
    return done


@given(
    traps=st.sets(st.sampled_from(INNER), max_size=4),
    sharing=st.sets(st.sampled_from(SHARING)),
    place=st.none() | st.sampled_from(PLACES),
)
@settings(max_examples=30, deadline=None)
def test_no_combination_of_settings_and_links_leads_out_of_a_copy(
    home: Path,
    tmp_path_factory: pytest.TempPathFactory,
    traps: set[Callable[[Path], None]],
    sharing: set[Callable[[Path], None]],
    place: Callable[[Path], None] | None,
) -> None:
    mine = tmp_path_factory.mktemp("mine")
    shutil.copytree(home, mine, symlinks=True, dirs_exist_ok=True)
    project = mine / "project"
    # what asks git must come before what leads git astray
    for trap in [*sorted(traps, key=lambda trap: -INNER.index(trap)), *sharing, *([place] if place else [])]:
        trap(project)
    before = look(mine)
    copied = copy(project, tmp_path_factory.mktemp("copies") / "project")
    assert (copied / "data.txt").read_text() == "edited"
    said = destroy(copied)
    assert not (copied / "untracked").exists(), said
    assert look(mine) == before


FLOW = "on: push\njobs:\n  a:\n    runs-on: x\n    steps: [{{run: '{script}'}}]\n"
RESET = "git clean -ffdx; git reset --hard; git status"


def run(folder: Path, script: str, **environment: str) -> Done:
    flow = folder.parent / "flow.yml"
    flow.write_text(FLOW.format(script=script))
    state = {"AGENT_STATE": str(folder.parent / "state"), "TMPDIR": str(folder.parent)}
    return run_agent(
        "flow", "run", flow, "--format", "json", cwd=folder, environment={**state, **environment}
    )


def lines(done: Done) -> list[str]:
    return [record["text"] for record in done.records() if record["kind"] == "log"]


@pytest.fixture
def project(tmp_path: Path, home: Path) -> Path:
    shutil.copytree(home, tmp_path / "home", symlinks=True)
    return tmp_path / "home" / "project"


@pytest.mark.parametrize("trap", [lead_work_tree_here, lie_elsewhere, lie_elsewhere_by_a_short_way])
def test_a_job_that_resets_its_copy_leaves_the_folder_as_it_is(
    project: Path, trap: Callable[[Path], None]
) -> None:
    trap(project)
    before = look(project)
    done = run(project, f"{RESET}; git checkout -q --detach; git branch -D main side; ls; git log --oneline")
    assert done.code == 0, done.out
    assert "Removing untracked" in lines(done)
    assert look(project) == before


def test_submodules_of_a_linked_work_tree_work_in_its_copy(project: Path) -> None:
    tree = project.parent / "tree"
    git(project, "worktree", "add", "-q", "-b", "other", str(tree))
    git(tree, "submodule", "--quiet", "update", "--init")
    done = run(
        tree, "git -C part status --short; git submodule status; git -C part rev-parse --show-toplevel"
    )
    assert done.code == 0, done.out
    assert any(" part (" in line for line in lines(done)), done.out
    assert any(line.endswith("/part") and not line.startswith(str(tree)) for line in lines(done))


def test_a_repository_that_cannot_be_made_its_own_is_not_in_the_copy(project: Path) -> None:
    (project / ".git" / "config").write_text(f"[core]\nworktree = {project}\n[broken\n")
    before = look(project)
    done = run(project, f"({RESET}) || ls untracked; test ! -e .git")
    assert done.code == 0, done.out
    (warning,) = [record["message"] for record in done.records() if record["kind"] == "warning"]
    assert warning.startswith("the jobs' copies have no '.git': bad config line 3"), warning
    assert look(project) == before


def test_a_copy_without_a_repository_is_in_none_that_lies_above_it(tmp_path: Path) -> None:
    above = make_repository(tmp_path / "above", {"mine.txt": "1"}).folder
    (above / "mine.txt").write_text("edited")
    (above / "plain").mkdir()
    (above / "plain" / "a").touch()
    done = run(above / "plain", "cd ..; git reset --hard", TMPDIR=str(above))
    assert (done.code, (above / "mine.txt").read_text()) == (1, "edited")


def test_what_leads_the_callers_git_elsewhere_leads_no_job_there(project: Path) -> None:
    """As in a hook, or with a bare repository of dotfiles."""
    lender = project.parent / "elsewhere" / "lender"
    before = look(lender)
    place = {"GIT_DIR": str(lender / ".git"), "GIT_WORK_TREE": str(lender)}
    done = run(project, 'git tag lost; echo "${{ github.sha }}"', **place)
    assert git(project, "rev-parse", "HEAD") in lines(done), done.out
    assert look(lender) == before
