"""Belongings: what a folder of somebody's own holds and nothing else has: uncommitted edits, untracked and ignored files, its `.git`.

Listed before the first job of a run begins. What is in them is looked at around each action that runs in the folder
(agent.job.in_place.survey).
"""

import contextlib
import hashlib
import json
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from agent.asking_git import git_environment
from agent.trees import walk_tree

_READ_BYTES = 16 << 20  # what is larger is not read: its size and times tell
_CODES = {"??": "untracked", "!!": "ignored"}


class Belonging(StrEnum):
    """What git knows of a path that only the folder has."""

    EDIT = "edit"
    UNTRACKED = "untracked"
    IGNORED = "ignored"
    GIT = "git"  # the repository itself: `.git`
    REPOSITORY = "repository"  # a submodule


def list_belongings(folder: Path) -> dict[str, Belonging]:
    """The paths that `folder` alone has. A folder that has nothing else in it is one path.

    Outside of git, it is all that lies in `folder`.
    """
    found = ask_status(folder)
    if found is None:
        return {str(path): Belonging.UNTRACKED for path in folder.iterdir()}
    top, edited = found
    modules = dict.fromkeys(_list_submodules(folder, top), Belonging.REPOSITORY)
    return {str(top / ".git"): Belonging.GIT, **modules, **edited}


def share_belongings(folder: Path, file: Path) -> dict[str, Belonging]:
    """The belongings as the first job of the run wrote them into `file`; the first one lists them."""
    if not file.exists():
        making = file.with_name(f"{file.name}.{os.getpid()}")
        making.write_text(json.dumps(list_belongings(folder)), encoding="utf-8")
        with contextlib.suppress(FileExistsError):  # another job was as early, and neither has run a step
            os.link(making, file)
        making.unlink()
    found = json.loads(file.read_text(encoding="utf-8"))
    return {path: Belonging(kind) for path, kind in found.items()}


def look_at(belongings: Mapping[str, Belonging]) -> dict[str, str]:
    """Those that are there now, with what is in the folders among them, each with a mark of what its content is."""
    seen: dict[str, str] = {}
    for path, kind in belongings.items():
        if os.path.lexists(path):
            seen[path] = _mark(path) if kind in {Belonging.EDIT, Belonging.UNTRACKED} else ""
            if kind is Belonging.UNTRACKED:
                seen |= {inner: _mark(inner) for inner in _walk(path)}
    return seen


def ask_git(folder: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> str | None:
    """What git prints, without the last line's end; None when it fails or is not installed."""
    # A hard link that holds a file changes its `ctime`: nothing is read again for that.
    command = ["git", "--no-optional-locks", "-c", "core.trustctime=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command,
            env={**git_environment(), **(environment or {})},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        return None
    return os.fsdecode(done.stdout).rstrip("\n") if done.returncode == 0 else None


def find_shared(folder: Path) -> Path | None:
    """The folder that all work trees of the repository around `folder` share; None outside of git."""
    found = ask_git(folder, "rev-parse", "--git-common-dir")
    return folder / found if found else None


def ask_status(folder: Path) -> tuple[Path, dict[str, Belonging]] | None:
    """The work tree around `folder`, and what it has in there that is not committed; None outside of git."""
    top = ask_git(folder, "rev-parse", "--show-toplevel")
    status = ask_git(
        folder, "status", "--porcelain", "-z", "--ignored", "--untracked-files=normal", "--", "."
    )
    if not top or status is None:
        return None
    return Path(top), {str(Path(top) / path): kind for path, kind in _read_status(status)}


def _list_submodules(folder: Path, top: Path) -> Iterator[str]:
    if (top / ".gitmodules").exists():
        for line in (ask_git(folder, "ls-files", "-z", "--stage", "--full-name") or "").split("\0"):
            if line.startswith("160000 "):
                yield str(top / line.partition("\t")[2])


def _read_status(text: str) -> Iterator[tuple[str, Belonging]]:
    """The path and kind of each entry of `git status --porcelain -z` (git-status(1))."""
    entries = iter(text.split("\0"))
    for entry in entries:
        code, path = entry[:2], entry[3:]
        if "R" in code or "C" in code:
            next(entries, None)  # where it was before
        if path:
            yield path.rstrip("/"), Belonging(_CODES.get(code, "edit"))


def _walk(top: str) -> Iterator[str]:
    """All that lies in the folder `top`, if it is one, but for repositories."""
    with contextlib.suppress(OSError):
        for _folder, below, entries in walk_tree(Path(top).resolve()):
            if any(entry.name == ".git" for entry in entries):
                entries.clear()  # nor is anything below it looked at
                continue
            yield from (
                f"{top}/{below}/{entry.name}" if below else f"{top}/{entry.name}" for entry in entries
            )


def _mark(path: str) -> str:
    """What tells a content from another: a file's digest, or its size and times; of a link, where it leads to."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            return f"-> {os.readlink(path)}"  # noqa: PTH115 - many paths, and each is text
        if not stat.S_ISREG(status.st_mode):
            return "a folder" if stat.S_ISDIR(status.st_mode) else "special"
        if status.st_size > _READ_BYTES:
            return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"
        with open(path, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return "unreadable"
