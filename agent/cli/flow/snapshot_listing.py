"""The content of a snapshot of a folder: what git would clone of it, and what is not committed yet, each as it lies.

Git says what it ignores. A work tree within the folder (a submodule, another clone) is asked by itself, as for a local run's
copy; a submodule that nobody has checked out is the empty folder that a clone has of it. Outside of git nothing is left out.
What can't be sent is an error that names it: a run must never be green on less than its author sees.
"""

import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from agent.asking_git import git_environment
from agent.errors import UsageError
from agent.trees import walk_tree

_LISTING: Final = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
_UNSENT: Final = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
Excludes = Callable[[str], bool]  # of a path below the top


def list_work_tree(top: Path, excludes: Excludes) -> Iterator[str]:
    """Paths below `top`, a git work tree: files, links, and folders (`lib/`) that are empty submodules.

    Raises UsageError for what git can't look into.
    """
    is_here = _Presence(top)
    for name in sorted(_ask_git(top)):
        if excludes(name.rstrip("/")) or not is_here(name):
            continue
        if name.endswith("/") or _is_folder(top / name):
            yield from _list_nested(top, name.rstrip("/"), excludes)
        else:
            yield name


def list_folder(top: Path, excludes: Excludes) -> Iterator[str]:
    """Paths below `top` of all that is no folder. Raises UsageError for a folder that can't be read."""
    for file, below, entries in walk_tree(top):
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if excludes(name):
                continue
            if not entry.is_dir(follow_symlinks=False):
                yield name
            elif not os.access(entry.name, os.R_OK | os.X_OK, dir_fd=file, effective_ids=True):
                raise refuse(top, name, "can't be read: Permission denied")


def measure_entry(top: Path, name: str) -> int:
    """The bytes that it has in a snapshot: those of a file. Raises UsageError for what no snapshot can hold."""
    facts = (top / name).lstat()
    kind = stat.S_IFMT(facts.st_mode)
    if kind in _UNSENT:
        raise refuse(top, name, f"is {_UNSENT[kind]}, which can't be sent")
    if kind == stat.S_IFREG and not os.access(top / name, os.R_OK, effective_ids=True):
        raise refuse(top, name, "can't be read: Permission denied")
    return facts.st_size if kind == stat.S_IFREG else 0


def refuse(top: Path, name: str, why: str) -> UsageError:
    """The error for what is there and can't be in the snapshot."""
    return UsageError(f"{name!a} {why}", where=str(top), hint=f"leave it out: --exclude {name!a}")


class _Presence:
    """Whether a path that git knows is there as git knows it: not gone, and not behind a link that took a folder's place."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._folders: dict[str, bool] = {"": True}

    def __call__(self, name: str) -> bool:
        path = name.rstrip("/")
        return self._is_plain(path.rpartition("/")[0]) and os.path.lexists(self._top / path)

    def _is_plain(self, folder: str) -> bool:
        if folder not in self._folders:
            above = self._is_plain(folder.rpartition("/")[0])
            self._folders[folder] = above and _is_folder(self._top / folder)
        return self._folders[folder]


def _list_nested(top: Path, name: str, excludes: Excludes) -> Iterator[str]:
    """What is in a folder that git looks at from outside only: a work tree of its own, or what is left of one."""
    folder = top / name
    if os.path.lexists(folder / ".git"):
        inner = list_work_tree(folder, lambda path: excludes(f"{name}/{path}"))
    else:
        inner = list_folder(folder, lambda path: excludes(f"{name}/{path}"))
    is_empty = True
    for path in inner:
        is_empty = False
        yield f"{name}/{path}"
    if is_empty:
        yield f"{name}/"


def _ask_git(folder: Path) -> set[str]:
    command = ["git", "-C", str(folder), *_LISTING]
    done = subprocess.run(
        command,
        env={**git_environment(), "LC_ALL": "C"},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    said = done.stderr.decode("utf-8", "replace").splitlines()
    complaints = [line for line in said if "could not open directory" in line or line.startswith("fatal:")]
    if done.returncode or complaints:
        what = (complaints or said or ["git failed without a word"])[0]
        hint = "make it readable, or leave it out by .gitignore; --source none sends no files"
        raise UsageError(f"git can't list what is there: {what}", where=str(folder), hint=hint)
    return {os.fsdecode(name) for name in done.stdout.split(b"\0") if name}


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False
