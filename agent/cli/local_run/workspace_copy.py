"""The copy of a folder that one job works in: all but what git ignores, so that it is small.

Git says what it ignores; tracked files are never among it. A work tree within the folder (a submodule, another clone) is
asked by itself. Outside of git nothing is left out. Nothing done in the copy reaches the original: the repositories in it
are its own (agent.cli.local_run.repository_copy), and links from one place of the folder to another stay in the copy.
"""

import contextlib
import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.cli.local_run.borders import Borders
from agent.cli.local_run.copy_plan import CopyPlan
from agent.cli.local_run.repository_copy import is_repository, leads_elsewhere, plan_repository

_MOST_NAMED = 3


def plan_copy(source: Path, *, with_ignored: bool = False, without: Iterable[Path] = ()) -> CopyPlan:
    """What a copy of `source` holds: nothing of the folders `without`, which change under our hands.

    Raises OSError for a folder that can't be read.
    """
    source = source.resolve()
    plan = CopyPlan(source)
    ours = {str(folder.relative_to(source)) for folder in without if folder.is_relative_to(source)}
    waiting = [_Look("", set() if with_ignored else _list_ignored(source), with_ignored)]
    while waiting:  # folders lie in one another deeper than calls may
        waiting += reversed(list(_look_into(plan, waiting.pop(), ours)))
    return plan


def name_some(paths: Sequence[str]) -> str:
    """The first of the paths, and how many more there are."""
    more = len(paths) - _MOST_NAMED
    return ", ".join(paths[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


class _Look(NamedTuple):
    """A folder that is still to be looked into, and what of the files in it is ignored."""

    name: str
    ignored: set[str]
    with_ignored: bool


def _look_into(plan: CopyPlan, look: _Look, ours: set[str]) -> Iterator[_Look]:
    """Plan what lies in a folder, which the plan has already. Gives the folders in it."""
    name, ignored, with_ignored = look
    prefix = f"{name}/" if name else ""
    entries = _list_entries(plan.source / name, may_be_gone=bool(name))
    names = {entry.name for entry in entries}
    if is_repository(names):  # a bare one, or one that has another name than `.git`
        plan_repository(plan, plan.source / name, name)
        return
    if name and not with_ignored and ".git" in names:
        ignored = {prefix + path for path in _list_ignored(plan.source / name)}
    for entry in entries:
        path = prefix + entry.name
        if path in ours:
            continue
        if path in ignored:
            plan.left_out.append(path)
        elif entry.name == ".git" and _holds_repository(plan, entry, name):
            plan_repository(plan, Path(entry.path), path)
        elif entry.is_dir(follow_symlinks=False):
            plan.folders[path] = entry.path
            yield _Look(path, ignored, with_ignored)
        else:
            _plan_file(plan, entry, path, name)


def _holds_repository(plan: CopyPlan, entry: "os.DirEntry[str]", folder: str) -> bool:
    """Whether the `.git` is a repository, or leads to one that is not in the copy by itself."""
    return entry.is_dir() or leads_elsewhere(Path(entry.path), Borders(plan.source), folder)


def _plan_file(plan: CopyPlan, entry: "os.DirEntry[str]", path: str, folder: str) -> None:
    """Plan what is no folder. A link to a place of the source by its full name leads to that of the copy."""
    with contextlib.suppress(FileNotFoundError):  # it has gone meanwhile
        if entry.is_symlink():
            text = os.readlink(entry.path)  # noqa: PTH115 - many paths, and each is text
            led = (
                Borders(plan.source).lead(text, plan.source / folder, folder)
                if text.startswith("/")
                else None
            )
            if led is not None:
                plan.links[path] = led
                return
        plan.files[path] = entry.path
        plan.size_bytes += entry.stat(follow_symlinks=False).st_size


def _list_entries(folder: Path, *, may_be_gone: bool) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as found:
            return list(found)
    except FileNotFoundError:
        if may_be_gone:
            return []
        raise


def _list_ignored(folder: Path) -> set[str]:
    """What git ignores in `folder`, relative to it: files, and folders in which everything is ignored."""
    listing = ["ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory"]
    listed = _ask_git(folder, *listing)
    names = {name.rstrip("/") for name in listed.split("\0") if name}
    return set() if "." in names else names  # somebody chose a folder that is ignored itself


def _ask_git(folder: Path, *arguments: str) -> str:
    """What git prints; nothing when it fails or is not installed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except FileNotFoundError:
        return ""
    return os.fsdecode(done.stdout) if done.returncode == 0 else ""
