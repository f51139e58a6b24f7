"""The actions that were fetched, kept by commit and shared by all jobs of this machine.

    ROOT/lock                                  held (flock) by whoever makes room
    ROOT/<repository>/lock                     held by whoever writes below
    ROOT/<repository>/refs.json                ref -> the commit that it last was
    ROOT/<repository>/<commit>/                held, shared, by whoever copies from it; its time is that of its last use
    ROOT/<repository>/<commit>/files/...       the repository's files, read-only
    ROOT/<repository>/<commit>/commit          the commit itself
    ROOT/<repository>/<commit>/entry.json      which submodules and large files the tree names, the repository's URL, the files' size
    ROOT/<repository>/<commit>/large/<oid>     contents that Git LFS keeps, by their SHA-256: those that could be had

A commit is made in a temporary folder and renamed, so it is there whole or not at all. It never changes afterwards,
and is not believed: each job gets a copy, and the copy is checked against the commit's own name. What a crash or
another job has altered is found there, thrown away and fetched again; nothing needs to be synced to disk for that.
Files are read-only as a reminder; folders are not, so that `rm -rf` needs no tricks.

After each fetch the commits that were used longest ago go until the rest is within the limit. One that is being copied
stays: its folder is locked, and a lock goes with the folder, not with its name.
"""

import contextlib
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent.resolve.sharing import evict, hold_lock, sweep
from agent.resolve.sources.git import is_commit
from agent.resolve.sources.git_command import measure
from agent.resolve.stored_repository import LARGE, StoredRepository, read_json

_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class StoredCommit:
    """A commit in the store."""

    folder: Path
    url: str
    size_bytes: int
    used: float  # when it was last used: seconds since the Unix epoch

    @property
    def commit(self) -> str:
        """Its full name."""
        return self.folder.name


class ActionStore:
    """Everything below `root`, one repository a folder. Several processes may use one store at a time.

    `limit_bytes` is what the files of all commits may weigh together; None is no limit. A single commit that weighs
    more is kept until the next comes.
    """

    def __init__(self, root: Path, limit_bytes: int | None = None) -> None:
        self.root = root
        self.limit_bytes = limit_bytes

    def repository(self, url: str) -> StoredRepository:
        """What is kept of the repository at `url`, which may be nothing yet."""
        parts = urlsplit(url)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        readable = _NOT_IN_NAME.sub("-", bare.partition("://")[2]).strip("-.")[-60:]
        name = f"{readable}-{hashlib.sha256(bare.encode()).hexdigest()[:12]}"
        return StoredRepository(self.root / name, bare, self._make_room)

    @property
    def used_bytes(self) -> int:
        """What all commits weigh together."""
        return sum(entry.size_bytes for entry in self.list_commits())

    def list_commits(self) -> list[StoredCommit]:
        """All commits, the one that was used longest ago first."""
        folders = (folder for repository in self._repositories() for folder in repository.iterdir())
        found = (_describe(folder) for folder in folders if is_commit(folder.name))
        return sorted((entry for entry in found if entry), key=lambda entry: (entry.used, entry.folder))

    def prune(self, limit_bytes: int) -> list[StoredCommit]:
        """Remove the commits that were used longest ago until the rest is within `limit_bytes`; gives what went.

        What a job is copying at the moment stays, and so does what is being fetched; what a fetch that died has left
        is removed.
        """
        if not self.root.is_dir():
            return []
        with hold_lock(self.root / "lock"):
            for repository in self._repositories():
                sweep(repository / "lock")
            entries = self.list_commits()
            excess = sum(entry.size_bytes for entry in entries) - limit_bytes
            gone: list[StoredCommit] = []
            for entry in entries:
                if excess <= 0:
                    break
                if evict(entry.folder):
                    gone.append(entry)
                    excess -= entry.size_bytes
            return gone

    def _make_room(self) -> None:
        if self.limit_bytes is not None:
            self.prune(self.limit_bytes)

    def _repositories(self) -> list[Path]:
        with contextlib.suppress(FileNotFoundError):
            return [path for path in self.root.iterdir() if path.is_dir() and not path.is_symlink()]
        return []


def _describe(folder: Path) -> StoredCommit | None:
    """What is known of the commit in `folder`; None when it has just gone."""
    facts = read_json(folder / "entry.json")
    try:
        used = folder.lstat().st_mtime
    except FileNotFoundError:
        return None
    size, url = facts.get("size_bytes"), facts.get("url")
    return StoredCommit(
        folder,
        url if isinstance(url, str) else "",
        size + measure(folder / LARGE) if type(size) is int and size >= 0 else measure(folder),
        used,
    )
