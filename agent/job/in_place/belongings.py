"""Belongings: what a folder of somebody's own holds and nothing else has: uncommitted edits, untracked and ignored files, its `.git`.

Listed before the first job of a run begins, and looked at around each action that runs in the folder: whatever way an
action takes, it does not lose them and pass.
"""

import contextlib
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

_UNTRACKED = ("??", "!!")


def list_belongings(folder: Path) -> dict[str, bool]:
    """The paths that `folder` alone has, and whether each is an edit of something that git knows.

    A folder that has nothing else in it is one path. Outside of git, it is all that lies in `folder`.
    """
    found = _ask_status(folder)
    if found is None:
        return {entry.path: False for entry in os.scandir(folder)}
    top, edited = found
    return {str(top / ".git"): False, **edited}


def share_belongings(folder: Path, file: Path) -> dict[str, bool]:
    """The belongings as the first job of the run wrote them into `file`; the first one lists them."""
    if not file.exists():
        making = file.with_name(f"{file.name}.{os.getpid()}")
        making.write_text(json.dumps(list_belongings(folder)), encoding="utf-8")
        with contextlib.suppress(FileExistsError):  # another job was as early, and neither has run a step
            os.link(making, file)
        making.unlink()
    found: dict[str, bool] = json.loads(file.read_text(encoding="utf-8"))
    return found


def look_at(belongings: Mapping[str, bool]) -> dict[str, str]:
    """Those that are there now, each with the digest of its content where it is an edit."""
    return {
        path: _digest(path) if is_edit else ""
        for path, is_edit in belongings.items()
        if os.path.lexists(path)
    }


def find_losses(folder: Path, before: Mapping[str, str]) -> list[str]:
    """Of what `look_at` saw in `folder`, the paths that are gone or whose edits were undone."""
    gone = [path for path in before if not os.path.lexists(path)]
    changed = [path for path, digest in before.items() if digest and _digest(path) != digest]
    if not changed:
        return gone
    found = _ask_status(folder)
    edited = found[1] if found else {}
    return [*gone, *(path for path in changed if path not in edited and path not in gone)]


def ask_git(folder: Path, *arguments: str) -> str | None:
    """What git prints, without the last line's end; None when it fails or is not installed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command, env=environment, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
    except FileNotFoundError:
        return None
    return os.fsdecode(done.stdout).rstrip("\n") if done.returncode == 0 else None


def _ask_status(folder: Path) -> tuple[Path, dict[str, bool]] | None:
    """The work tree around `folder`, and what it has in there that is not committed; None outside of git."""
    top = ask_git(folder, "rev-parse", "--show-toplevel")
    status = ask_git(
        folder, "status", "--porcelain", "-z", "--ignored", "--untracked-files=normal", "--", "."
    )
    if not top or status is None:
        return None
    return Path(top), {str(Path(top) / path): is_edit for path, is_edit in _read_status(status)}


def _read_status(text: str) -> Iterator[tuple[str, bool]]:
    """(path, whether it is an edit) of each entry of `git status --porcelain -z` (git-status(1))."""
    entries = iter(text.split("\0"))
    for entry in entries:
        code, path = entry[:2], entry[3:]
        if "R" in code or "C" in code:
            next(entries, None)  # where it was before
        if path:
            yield path, code not in _UNTRACKED


def _digest(path: str) -> str:
    """The digest of a file; of anything else, where a link leads to, or that it is a folder, or nothing."""
    try:
        if os.path.islink(path):  # noqa: PTH114 - many paths, and each is text
            return f"-> {os.readlink(path)}"  # noqa: PTH115
        with open(path, "rb") as file:  # noqa: PTH123
            return hashlib.file_digest(file, "sha256").hexdigest()
    except IsADirectoryError:
        return "a folder"
    except OSError:
        return "unreadable"
