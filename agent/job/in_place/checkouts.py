"""Actions that fill a folder with a repository: told by what they ask for, whoever publishes them.

GitHub's actions/checkout, its forks and ours declare the same inputs (`repository`, `ref`, `path`, and how to clean or how
much to fetch); a list of names would miss the next fork. Composite actions are made of steps, and those are looked at.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from agent.flow.expressions import to_text
from agent.job.in_place.belongings import Belonging, ask_git, list_belongings, look_at
from agent.job.steps.parts import StepAction
from agent.job.steps.steprun import StepRun

_ALL_OF = {"repository", "ref", "path"}
_ONE_OF = {"clean", "fetch-depth", "submodules", "lfs", "sparse-checkout"}
_SUFFIX = re.compile(r"(?:\.git)?/*$")
_MARK = "flow-checkout"  # in `.git` of what a checkout made: the commit that it checked out, and how all of it was then


@dataclass(frozen=True, slots=True)
class WantedCheckout:
    """What a checkout is asked for; `target` is the folder on this machine, its links followed."""

    repository: str
    ref: str
    target: Path


def is_checkout(action: StepAction | None) -> bool:
    """Whether the action checks out a repository, as far as its manifest tells."""
    if action is None or type(action.manifest.runs).__name__ == "CompositeRuns":
        return False
    names = {name.lower() for name in action.manifest.inputs}
    return names >= _ALL_OF and bool(names & _ONE_OF)


def read_wanted(step: StepRun) -> WantedCheckout:
    """What the step asks its checkout for."""
    inputs = {name.lower(): value.strip() for name, value in step.inputs.items()}
    job = step.job
    inside = os.path.join(job.show_path(job.places.workspace), inputs.get("path", ""))  # noqa: PTH118
    target = Path(os.path.realpath(job.host.paths.to_host(os.path.normpath(inside))))
    repository = inputs.get("repository", "")
    server = inputs.get("github-server-url", "")
    if server and repository:
        repository = f"{server.rstrip('/')}/{repository}"
    return WantedCheckout(repository, inputs.get("ref", ""), target)


def is_own_repository(step: StepRun, repository: str) -> bool:
    """Whether `repository` (a name, a URL, nothing) is the one that the run is about."""
    github = step.github()
    name = to_text(github.get("repository"))
    own = {name, f"{to_text(github.get('server_url'))}/{name}", step.job.spec.source.url or ""}
    return not repository or _plain(repository) in {_plain(text) for text in own if text}


def is_here(step: StepRun, ref: str) -> bool:
    """Whether the branch, tag or commit `ref` of the run's own repository is what lies in the workspace."""
    github = step.github()
    if not ref or ref in {to_text(github.get(name)) for name in ("ref", "ref_name", "sha")}:
        return True
    workspace = step.job.places.workspace
    verify = ("rev-parse", "--verify", "--quiet", "--end-of-options")
    found = ask_git(workspace, *verify, f"{ref}^{{commit}}")
    return bool(found) and found == ask_git(workspace, *verify, "HEAD^{commit}")


def is_replaceable(folder: Path) -> bool:
    """Whether nothing is lost when `folder` becomes something else.

    It is not there, or empty, or a clone that has nothing which the repository that it came from lacks, or just as a
    checkout of an earlier run left it: a copy of a folder with edits has what no clone has. What such a checkout made
    may have ignored files besides (caches); those are not asked about.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return not os.path.lexists(folder) or folder.is_dir()
    if not (folder / ".git").is_dir():
        return False
    made, state = _read_mark(folder)
    if made and state == _find_state(folder):
        return True
    ignored = [] if made else ["--ignored"]
    status = ask_git(folder, "status", "--porcelain", "--untracked-files=normal", *ignored)
    known = ["--not", "--remotes", "--tags", *([made] if made else [])]
    head = (
        ["HEAD"] if ask_git(folder, "rev-parse", "--verify", "--quiet", "HEAD") else []
    )  # else it has no commit yet
    commits = ask_git(folder, "rev-list", "--max-count=1", "--branches", *head, *known)
    stashed = ask_git(folder, "rev-parse", "--verify", "--quiet", "refs/stash")
    return status == "" and commits == "" and not stashed


def mark_checkout(folder: Path) -> None:
    """Remember in a fresh clone or copy that a run made it."""
    if (folder / ".git").is_dir() and (commit := ask_git(folder, "rev-parse", "HEAD")):
        (folder / ".git" / _MARK).write_text(f"{commit}\n{_find_state(folder)}\n", encoding="utf-8")


def _read_mark(folder: Path) -> tuple[str, str]:
    """The commit that a run checked out in `folder`, and the state then; empty when none did, or it is known no more."""
    try:
        text = (folder / ".git" / _MARK).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", ""
    commit, state, *_ = (*text.split(), "", "")
    is_known = (
        re.fullmatch(r"[0-9a-f]{40,64}", commit) and ask_git(folder, "cat-file", "-e", commit) is not None
    )
    return (commit, state) if is_known else ("", "")


def _find_state(folder: Path) -> str:
    """A digest of all that `folder` has and git does not ignore: commits by what leads to them, edits and untracked files."""
    questions = (
        ("for-each-ref",),
        ("rev-parse", "--symbolic-full-name", "HEAD"),
        ("rev-parse", "HEAD"),
        ("reflog", "show", "--format=%H", "refs/stash"),
        ("diff-index", "--cached", "HEAD"),
    )
    said: list[object] = [ask_git(folder, *question) for question in questions]
    told = {Belonging.EDIT, Belonging.UNTRACKED}
    edited = {path: kind for path, kind in list_belongings(folder).items() if kind in told}
    return hashlib.sha256(repr([*said, sorted(look_at(edited).items())]).encode()).hexdigest()


def _plain(repository: str) -> str:
    return _SUFFIX.sub("", repository).casefold()
