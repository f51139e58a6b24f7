"""The actions that were fetched, kept by commit and shared by all jobs of this machine.

    ROOT/lock                                  held (flock) by whoever makes room
    ROOT/<repository>/lock                     held by whoever writes below
    ROOT/<repository>/refs.json                ref -> the commit that it last was
    ROOT/<repository>/<commit>/                held, shared, by whoever copies from it; its time is that of its last use
    ROOT/<repository>/<commit>/files/...       the repository's files, read-only
    ROOT/<repository>/<commit>/commit          the commit itself
    ROOT/<repository>/<commit>/entry.json      which submodules the tree names, the repository's URL, the files' size

A commit is made in a temporary folder and renamed, so it is there whole or not at all. It never changes afterwards,
and is not believed: each job gets a copy, and the copy is checked against the commit's own name. What a crash or
another job has altered is found there, thrown away and fetched again; nothing needs to be synced to disk for that.
Files are read-only as a reminder; folders are not, so that `rm -rf` needs no tricks.

After each fetch the commits that were used longest ago go until the rest is within the limit. One that is being copied
stays: its folder is locked, and a lock goes with the folder, not with its name.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.errors import AgentError, DamagedError, RefusedError
from agent.resolve.sharing import TEMPORARY, clear, evict, hold_lock, lock_folder, remove, sweep
from agent.resolve.sources.git import is_commit
from agent.resolve.sources.git_command import measure
from agent.resolve.tree import Submodules, check_tree

_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9.-]+")

Make = Callable[
    [Path], tuple[str, bytes, Submodules]
]  # fills the folder `files`; gives commit, its bytes, submodules


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

    def repository(self, url: str) -> "StoredRepository":
        """What is kept of the repository at `url`, which may be nothing yet."""
        parts = urlsplit(url)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        readable = _NOT_IN_NAME.sub("-", bare.partition("://")[2]).strip("-.")[-60:]
        name = f"{readable}-{hashlib.sha256(bare.encode()).hexdigest()[:12]}"
        return StoredRepository(self, self.root / name, bare)

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

    def _repositories(self) -> list[Path]:
        with contextlib.suppress(FileNotFoundError):
            return [path for path in self.root.iterdir() if path.is_dir() and not path.is_symlink()]
        return []


class StoredRepository:
    """The commits and refs that are kept of one repository."""

    def __init__(self, store: ActionStore, folder: Path, url: str) -> None:
        self._store = store
        self._folder = folder
        self._url = url

    @property
    def name(self) -> str:
        """A name for the repository that is safe as a folder's, and nobody else's."""
        return self._folder.name

    def has(self, commit: str) -> bool:
        """Whether `commit` was fetched; whether it is intact, `copy` finds out."""
        return bool(commit) and (self._folder / commit).is_dir()

    def last_known(self, ref: str) -> str:
        """The commit that `ref` was when it was last asked for, if that is still kept; else ""."""
        commit = self._read_refs().get(ref, "")
        return commit if self.has(commit) else ""

    @contextlib.contextmanager
    def hold(self, commit: str) -> Iterator[bool]:
        """Keep `commit` from being removed for lack of room; gives whether it is here."""
        with contextlib.ExitStack() as held:
            yield self._hold(commit, held)

    def copy(self, commit: str, target: Path) -> None:
        """Copy the files of `commit`, which is held, to `target`, which is new, for one job to do with as it likes.

        Raises DamagedError, with nothing left at `target`, when they are not the files that were fetched.
        """
        entry = self._folder / commit
        target.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=target.parent))
        try:
            files = making / "files"
            shutil.copytree(entry / "files", files, symlinks=True, copy_function=_copy_file)
            recorded = _read_json(entry / "entry.json").get("submodules", {})
            submodules = {path: str(name) for path, name in recorded.items()}
            check_tree(files, commit, (entry / "commit").read_bytes(), submodules)
            files.rename(target)
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise DamagedError(f"the stored action can't be copied: {error}", where=str(entry)) from None
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def drop(self, commit: str) -> None:
        """Forget `commit`: it is damaged."""
        with self._locked():
            remove(self._folder / commit)

    @contextlib.contextmanager
    def add(self, ref: str, commit: str, make: Make) -> Iterator[str]:
        """Keep what `make` fetches and remember that `ref` is it; gives its commit, which is held meanwhile.

        When another process has just added `commit`, `make` is not called. What `make` raises is passed on, with
        nothing kept.
        """
        with contextlib.ExitStack() as held:
            with self._locked():
                if not self._hold(commit, held):
                    commit = self._make(make, held)
                self._remember(ref, commit)
            if self._store.limit_bytes is not None:
                self._store.prune(self._store.limit_bytes)
            yield commit

    def remember(self, ref: str, commit: str) -> None:
        """Remember that `ref` is `commit` now."""
        if self._read_refs().get(ref) != commit:
            with self._locked():
                self._remember(ref, commit)

    def _make(self, make: Make, held: contextlib.ExitStack) -> str:
        making = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=self._folder))
        try:
            commit, commit_bytes, submodules = make(making / "files")
            (making / "commit").write_bytes(commit_bytes)
            facts = {"url": self._url, "size_bytes": measure(making), "submodules": dict(submodules)}
            (making / "entry.json").write_text(json.dumps(facts), encoding="utf-8")
            check_tree(making / "files", commit, commit_bytes, submodules)
            self._publish(making, commit, held)
        except DamagedError:
            hint = "`git fsck` in the repository says more"
            raise RefusedError("the repository is not in git's normal form", hint=hint) from None
        except OSError as error:
            raise AgentError(
                f"the action can't be kept: {error.strerror}", where=str(self._folder)
            ) from error
        else:
            return commit
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def _publish(self, making: Path, commit: str, held: contextlib.ExitStack) -> None:
        """Give `making` its name, unless that is taken by what is the same."""
        handle = lock_folder(
            making, fcntl.LOCK_SH
        )  # before others can see it, and remove it for lack of room
        assert handle is not None
        held.callback(os.close, handle)
        while not self._hold(commit, held):
            try:
                making.rename(self._folder / commit)
            except OSError as error:
                if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
                    raise
            else:
                return

    def _hold(self, commit: str, held: contextlib.ExitStack) -> bool:
        """Whether `commit` is here; it stays until `held` ends, and counts as used now."""
        handle = lock_folder(self._folder / commit, fcntl.LOCK_SH) if commit else None
        if handle is None:
            return False
        held.callback(os.close, handle)
        with contextlib.suppress(PermissionError):  # a store that belongs to another user
            os.utime(handle)
        return True

    def _remember(self, ref: str, commit: str) -> None:
        refs = {**self._read_refs(), ref: commit}
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=self._folder)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(refs, file)
        Path(name).rename(self._folder / "refs.json")

    def _read_refs(self) -> dict[str, str]:
        refs = _read_json(self._folder / "refs.json")
        return {ref: str(commit) for ref, commit in refs.items()}

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one who writes here; what a writer that died has left is cleared away first."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with hold_lock(self._folder / "lock"):
            clear(self._folder)
            yield


def _describe(folder: Path) -> StoredCommit | None:
    """What is known of the commit in `folder`; None when it has just gone."""
    facts = _read_json(folder / "entry.json")
    try:
        used = folder.lstat().st_mtime
    except FileNotFoundError:
        return None
    size, url = facts.get("size_bytes"), facts.get("url")
    return StoredCommit(
        folder,
        url if isinstance(url, str) else "",
        size if type(size) is int and size >= 0 else measure(folder),
        used,
    )


def _copy_file(source: str, target: str) -> None:
    """Copy contents, and make it a file of the job's own: writable."""
    try:
        shutil.copyfile(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:  # no fault of the stored files: they stay
            raise AgentError(
                "no space is left for the action", where=target, hint="free some space"
            ) from None
        raise
    os.chmod(target, 0o755 if os.stat(source).st_mode & 0o100 else 0o644)  # noqa: PTH101, PTH116


def _read_json(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
