"""The index of somebody's own repository as a file: an action that removes it, or takes entries out of it, leaves it to nobody.

Without it git takes each tracked file for one that is to be removed by the next commit.

    the file is gone, or is no index any more    put back as it was
    entries are gone, their files are there      put back, unless HEAD has moved; `git rm` of a file that is gone, too, is the action's business
    a process that held it has died              made anew of what was staged and HEAD, where there is none
"""

import contextlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from agent.job.in_place.belongings import ask_git
from agent.job.in_place.references import write

_MOST_BYTES = 64 << 20  # what is larger is made anew


@dataclass(frozen=True, slots=True)
class IndexFile:
    """The index as it was."""

    path: Path
    content: bytes | None  # None: too large
    head: str  # the commit that was checked out; empty where there was none


def read_index_file(folder: Path) -> IndexFile | None:
    """That of the work tree around `folder`; None where it has none."""
    name = ask_git(folder, "rev-parse", "--git-path", "index")
    with contextlib.suppress(OSError):
        if name:
            path = folder / name
            content = path.read_bytes() if path.stat().st_size <= _MOST_BYTES else None
            return IndexFile(path, content, _find_head(folder))
    return None


def put_back_file(folder: Path, was: IndexFile, commit: str) -> bool:
    """Put back an index that is gone or damaged, as it was; whether that had to be done, and is done.

    `commit` is one of what was staged, or empty.
    """
    if not was.path.parent.is_dir() or _is_readable(folder, was.path):
        return False
    if was.content is None:
        with contextlib.suppress(OSError):
            was.path.unlink()
        return make_anew(folder, commit)
    making = was.path.with_name(f"{was.path.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        making.write_bytes(was.content)
        making.replace(was.path)
        return True
    return False


def make_anew(folder: Path, commit: str) -> bool:
    """Make an index where there is none: of what was staged (`commit`), or as in HEAD."""
    name = ask_git(folder, "rev-parse", "--git-path", "index")
    tree = commit or _find_head(folder)
    if not name or not tree or (folder / name).exists():
        return False
    is_made = write(folder, ["read-tree", tree])
    write(folder, ["update-index", "-q", "--refresh"])
    return is_made


def put_back_entries(folder: Path, was: IndexFile, commit: str) -> list[str]:
    """Put back entries that are gone though their files are there; their paths. `commit` is one of what was staged, or empty."""
    top = ask_git(folder, "rev-parse", "--show-toplevel")
    if not top or not was.head or _find_head(folder) != was.head:
        return []
    asked = ("diff-index", "--cached", "--raw", "-z", "--no-renames", "--diff-filter=D", "--no-abbrev")
    parts = iter((ask_git(Path(top), *asked, commit or was.head) or "").split("\0"))
    gone = {path: about.split(" ") for about in parts if (path := next(parts, ""))}
    gone = {path: about for path, about in gone.items() if os.path.lexists(f"{top}/{path}")}
    lines = "".join(f"{about[0].lstrip(':')} {about[2]} 0\t{path}\0" for path, about in gone.items())
    return list(gone) if gone and write(Path(top), ["update-index", "-z", "--index-info"], lines) else []


def _is_readable(folder: Path, index: Path) -> bool:
    if not index.exists():
        return False
    asked = ("ls-files", "--", "no-such-file")
    if ask_git(folder, *asked) is not None:
        return True
    none = {"GIT_INDEX_FILE": f"{index}.none"}
    return ask_git(folder, *asked, environment=none) is None  # something else is wrong with the repository


def _find_head(folder: Path) -> str:
    return ask_git(folder, "rev-parse", "--verify", "--quiet", "HEAD") or ""
