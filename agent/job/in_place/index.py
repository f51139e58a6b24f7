"""The index of somebody's own repository: what is staged is held as a commit while an action runs, for its files may have another content by now.

    HEAD is where it was    what is staged no more is staged again
    HEAD has moved          what is neither staged, committed nor in its file any more is kept beside: the branch `kept-by-flow-agent/index`

Files that are staged as well as in the folder lose nothing by being staged no more, and are staged again all the same: it was a choice.
"""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from agent.job.in_place.belongings import ask_git
from agent.job.in_place.references import write

_IDENTITY = ("-c", "user.name=flow-agent", "-c", "user.email=flow-agent@localhost")
_GONE, _SUBMODULE = "000000", "160000"


class Staged(NamedTuple):
    """A path of the index that is not as in HEAD."""

    path: str
    mode: str  # six octal digits; `_GONE` where the removal is staged
    blob: str


def commit_index(folder: Path) -> str:
    """A commit of what is staged around `folder`, whose parent is HEAD; empty where nothing is. Nothing leads to it.

    The same index gives the same commit.
    """
    top, index = (
        ask_git(folder, "rev-parse", "--show-toplevel"),
        ask_git(folder, "rev-parse", "--git-path", "index"),
    )
    if not top or not index or not (folder / index).exists():
        return ""
    head = ask_git(folder, "rev-parse", "--verify", "--quiet", "HEAD") or ""
    staged = ask_git(Path(top), "diff-index", "--cached", "--quiet", head) is None if head else True
    if not staged:
        return ""
    with contextlib.suppress(OSError), tempfile.TemporaryDirectory() as temporary:
        return _commit(Path(top), folder / index, head, Path(temporary) / "index")
    return ""


def restage(folder: Path, commit: str) -> list[str]:
    """Stage again what `commit_index` found, unless HEAD has moved; the paths that were staged no more."""
    top = _find_top(folder)
    if top is None or (ask_git(top, "rev-parse", "--verify", "--quiet", "HEAD") or "") != _parent(
        top, commit
    ):
        return []
    now = _read_index(top)
    gone = [
        one
        for one in _read_staged(top, commit)
        if one.mode != _SUBMODULE and now.get(one.path, (_GONE, one.blob)) != (one.mode, one.blob)
    ]
    lines = "".join(f"{one.mode} {one.blob} 0\t{one.path}\0" for one in gone)
    is_done = write(top, ["update-index", "-z", "--index-info"], lines)
    return [one.path for one in gone] if is_done else []


def find_unstaged(folder: Path, commit: str) -> list[str]:
    """The paths whose staged content is nowhere any more but in `commit`."""
    top = _find_top(folder)
    if top is None:
        return []
    now = _read_index(top)
    missing = [one for one in _read_staged(top, commit) if one.mode not in {_GONE, _SUBMODULE}]
    missing = [one for one in missing if now.get(one.path, ("", ""))[1] != one.blob]
    return [one.path for one in missing if not _is_elsewhere(top, one, _parent(top, commit))]


def _is_elsewhere(top: Path, one: Staged, parent: str) -> bool:
    own = ("hash-object", f"--path={one.path}", "--", one.path)
    if os.path.isfile(top / one.path) and ask_git(top, *own) == one.blob:  # noqa: PTH113
        return True
    without = ["--not", parent] if parent else []
    asked = ("log", "-1", "--format=%H", f"--find-object={one.blob}", "--branches", "--tags", "HEAD")
    return bool(ask_git(top, *asked, *without))


def _commit(top: Path, index: Path, head: str, copy: Path) -> str:
    shutil.copyfile(index, copy)
    status = index.stat()
    environment = {"GIT_INDEX_FILE": str(copy)}
    if conflicts := _read_conflicts(top):
        write(top, ["update-index", "-z", "--index-info"], conflicts, environment)
    tree = ask_git(top, "write-tree", environment=environment)
    if tree is None:
        return ""
    date = f"@{int(status.st_mtime)} +0000"
    environment = {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    parents = ["-p", head] if head else []
    words = [*_IDENTITY, "commit-tree", "-m", "What was staged when an action of a run began", *parents, tree]
    return ask_git(top, *words, environment=environment) or ""


def _read_conflicts(top: Path) -> str:
    """What takes the conflicts of a merge out of an index (git-update-index(1)): our side is as in HEAD."""
    lines = ""
    for entry in filter(None, (ask_git(top, "ls-files", "-z", "--unmerged") or "").split("\0")):
        about, _, path = entry.partition("\t")
        mode, blob, stage = about.split(" ")
        if stage != "3" or f"\t{path}\0" not in lines:
            lines += f"0 {'0' * len(blob)}\t{path}\0"
        lines += f"{mode} {blob} 0\t{path}\0" if stage == "2" else ""
    return lines


def _read_staged(top: Path, commit: str) -> list[Staged]:
    raw = (
        ask_git(top, "diff-tree", "-r", "--root", "--raw", "-z", "--no-renames", "--no-commit-id", commit)
        or ""
    )
    parts = iter(raw.rstrip("\0").split("\0"))
    staged: list[Staged] = []
    for about in parts:
        path = next(parts, "")
        if path:
            _, mode, _, blob, _ = about.split(" ")
            staged.append(Staged(path, mode, blob))
    return staged


def _read_index(top: Path) -> dict[str, tuple[str, str]]:
    """Mode and blob of each path; of one in conflict, those of one of its sides."""
    entries = (
        line.partition("\t") for line in (ask_git(top, "ls-files", "-z", "--stage") or "").split("\0") if line
    )
    return {path: (about.split(" ")[0], about.split(" ")[1]) for about, _, path in entries}


def _parent(top: Path, commit: str) -> str:
    return ask_git(top, "rev-parse", "--verify", "--quiet", f"{commit}^") or ""


def _find_top(folder: Path) -> Path | None:
    top = ask_git(folder, "rev-parse", "--show-toplevel")
    return Path(top) if top else None
