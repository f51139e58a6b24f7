"""The actions that were fetched, kept by commit and shared by all jobs of this machine.

    ROOT/<repository>/lock                     held (flock) by whoever writes below
    ROOT/<repository>/refs.json                ref -> the commit that it last was
    ROOT/<repository>/<commit>/files/...       the repository's files, read-only
    ROOT/<repository>/<commit>/commit          the commit itself
    ROOT/<repository>/<commit>/submodules.json which submodules the tree names

A commit is made in a temporary folder and renamed, so it is there whole or not at all. It never changes afterwards,
and is not believed: each job gets a copy, and the copy is checked against the commit's own name. What a crash or
another job has altered is found there, thrown away and fetched again; nothing needs to be synced to disk for that.
Files are read-only as a reminder; folders are not, so that `rm -rf` needs no tricks.
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
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent.errors import AgentError, DamagedError, RefusedError
from agent.resolve.tree import Submodules, check_tree

_TEMPORARY = ".making-"
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9.-]+")

Make = Callable[
    [Path], tuple[str, bytes, Submodules]
]  # fills the folder `files`; gives commit, its bytes, submodules


class ActionStore:
    """Everything below `root`, one repository a folder. Several processes may use one store at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def repository(self, url: str) -> "StoredRepository":
        """What is kept of the repository at `url`, which may be nothing yet."""
        parts = urlsplit(url)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        readable = _NOT_IN_NAME.sub("-", bare.partition("://")[2]).strip("-.")[-60:]
        return StoredRepository(self.root / f"{readable}-{hashlib.sha256(bare.encode()).hexdigest()[:12]}")


class StoredRepository:
    """The commits and refs that are kept of one repository."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def name(self) -> str:
        """A name for the repository that is safe as a folder's, and nobody else's."""
        return self._folder.name

    def has(self, commit: str) -> bool:
        """Whether `commit` was fetched; whether it is intact, `copy` finds out."""
        return (self._folder / commit).is_dir()

    def last_known(self, ref: str) -> str:
        """The commit that `ref` was when it was last asked for, if that is still kept; else ""."""
        commit = self._read_refs().get(ref, "")
        return commit if commit and self.has(commit) else ""

    def copy(self, commit: str, target: Path) -> None:
        """Copy the files of `commit` to `target`, which is new, for one job to do with as it likes.

        Raises DamagedError, with nothing left at `target`, when they are not the files that were fetched.
        """
        entry = self._folder / commit
        target.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=target.parent))
        try:
            files = making / "files"
            shutil.copytree(entry / "files", files, symlinks=True, copy_function=_copy_file)
            submodules = {path: str(name) for path, name in _read_json(entry / "submodules.json").items()}
            check_tree(files, commit, (entry / "commit").read_bytes(), submodules)
            files.rename(target)
        except (OSError, ValueError, RecursionError) as error:
            raise DamagedError(f"the stored action can't be copied: {error}", where=str(entry)) from None
        finally:
            shutil.rmtree(making, ignore_errors=True)

    def drop(self, commit: str) -> None:
        """Forget `commit`: it is damaged."""
        with self._locked():
            self._drop(commit)

    def add(self, ref: str, commit: str, make: Make) -> str:
        """Keep what `make` fetches and remember that `ref` is it; gives its commit.

        When another process has meanwhile added `commit`, `make` is not called. What `make` raises is passed on, with
        nothing kept.
        """
        with self._locked():
            if not (commit and self.has(commit)):
                commit = self._make(make)
            self._remember(ref, commit)
            return commit

    def remember(self, ref: str, commit: str) -> None:
        """Remember that `ref` is `commit` now."""
        if self._read_refs().get(ref) != commit:
            with self._locked():
                self._remember(ref, commit)

    def _make(self, make: Make) -> str:
        making = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._folder))
        try:
            commit, commit_bytes, submodules = make(making / "files")
            (making / "commit").write_bytes(commit_bytes)
            (making / "submodules.json").write_text(json.dumps(submodules), encoding="utf-8")
            check_tree(making / "files", commit, commit_bytes, submodules)
            if not self.has(commit):
                making.rename(self._folder / commit)
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

    def _drop(self, commit: str) -> None:
        going = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._folder))
        with contextlib.suppress(FileNotFoundError):
            (self._folder / commit).rename(going / "files")
        shutil.rmtree(going, ignore_errors=True)

    def _remember(self, ref: str, commit: str) -> None:
        refs = {**self._read_refs(), ref: commit}
        handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=self._folder)
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
        handle = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            for left in self._folder.glob(f"{_TEMPORARY}*"):
                shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
            yield
        finally:
            os.close(handle)


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
    except (FileNotFoundError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
