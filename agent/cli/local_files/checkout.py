"""Git's word about a folder: its repository, branch and commit."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.asking_git import git_environment

_NOWHERE = ("/dev/", "/proc/")


@dataclass(frozen=True, slots=True)
class Checkout:
    """A git work tree as it is now."""

    top: Path
    url: str  # of `origin`; empty when there is none
    ref: str  # empty before the first commit, and when no branch is checked out
    commit: str  # empty before the first commit


class Inquiry:
    """The questions, put to git all at once when this is made; whoever asks early waits for nothing in `read`."""

    def __init__(self, folder: Path) -> None:
        self._where = _start(folder, ["rev-parse", "--show-toplevel", "HEAD", "--symbolic-full-name", "HEAD"])
        self._origin = _start(folder, ["config", "--get", "remote.origin.url"])
        self._found: Checkout | None = None
        self._is_read = False

    def read(self) -> Checkout | None:
        """The git work tree that the folder is in, or None when it is in none or git is not installed."""
        if not self._is_read:
            self._found, self._is_read = self._read(), True
        return self._found

    def _read(self) -> Checkout | None:
        is_success, lines = _finish(self._where)
        _, url = _finish(self._origin)
        if not lines:
            return None
        commit, ref = lines[1:] if is_success else ("", "")  # the top is said even where there is no commit
        top = Path(lines[0])
        return Checkout(top, url=url[0] if url else "", ref="" if ref == "HEAD" else ref, commit=commit)


def folder_of(file: Path) -> Path:
    """The folder that a flow's `file` lies in; of standard input and other pipes of a shell, which lie nowhere, the current one."""
    here = Path.cwd()
    return here if os.path.abspath(file).startswith(_NOWHERE) else file.resolve().parent  # noqa: PTH100 - links as they are


def find_code_folder(file: Path, *, is_snapshot: bool = False) -> Path:
    """The folder whose code goes along with a flow: that of its `file`; the current one, when only that is in a work tree.

    A snapshot needs no work tree: when one was asked for, it is of the file's own folder.
    """
    here, folder = Path.cwd(), folder_of(file)
    if is_snapshot:
        return folder
    return here if here != folder and find_checkout(folder) is None and find_checkout(here) else folder


def find_checkout(folder: Path) -> Checkout | None:
    """The git work tree that `folder` is in, or None when it is in none or git is not installed."""
    return Inquiry(folder).read()


def ask_git(folder: Path, *arguments: str) -> list[str]:
    """The lines that git prints; none when it fails or is not installed."""
    is_success, lines = _finish(_start(folder, arguments))
    return lines if is_success else []


def _start(folder: Path, arguments: Sequence[str]) -> "subprocess.Popen[str] | None":
    command = ["git", "-C", str(folder), *arguments]
    null = subprocess.DEVNULL
    try:
        return subprocess.Popen(
            command,
            env=git_environment(),
            stdin=null,
            stdout=subprocess.PIPE,
            stderr=null,
            encoding=sys.getfilesystemencoding(),  # paths, most of all
            errors=sys.getfilesystemencodeerrors(),
        )
    except FileNotFoundError:
        return None


def _finish(process: "subprocess.Popen[str] | None") -> tuple[bool, list[str]]:
    """Whether git was content, and the lines that it printed."""
    if process is None:
        return False, []
    out, _ = process.communicate()
    return process.returncode == 0, out.splitlines()
