"""The commits and refs of one repository in the store; `agent.resolve.store` says what lies where."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import AgentError, DamagedError, RefusedError
from agent.resolve.lfs import Bring, Pointer, put_contents
from agent.resolve.sharing import TEMPORARY, clear, hold_lock, lock_folder, remove
from agent.resolve.sources.git_command import measure
from agent.resolve.tree import Submodules, check_tree
from agent.trees import remove_tree

LARGE = "large"  # the folder of contents that Git LFS keeps


@dataclass(frozen=True, slots=True)
class StoredFiles:
    """What is known of files that were just fetched."""

    commit: str
    commit_bytes: bytes
    submodules: Submodules
    large: tuple[str, ...] = ()  # paths of files that Git LFS keeps


Make = Callable[[Path], StoredFiles]  # fills the folder that it is given


class StoredRepository:
    """The commits and refs that are kept of one repository."""

    def __init__(self, folder: Path, url: str, make_room: Callable[[], object]) -> None:
        """`make_room` is called after each fetch, which can't lose what it has just brought."""
        self._folder = folder
        self._url = url
        self._make_room = make_room

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

    def copy(self, commit: str, target: Path, bring: Bring) -> tuple[str, ...]:
        """Copy the files of `commit`, which is held, to `target`, which is new, for one job to do with as it likes.

        Contents that Git LFS keeps stand in the copy in the place of their pointers; `bring` gets those that are not here.
        Gives warnings. Raises DamagedError, with nothing left at `target`, when they are not the files that were fetched.
        """
        entry = self._folder / commit
        target.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=target.parent))
        try:
            files = making / "files"
            shutil.copytree(entry / "files", files, symlinks=True, copy_function=_copy_file)
            recorded = read_json(entry / "entry.json")
            submodules = {path: str(name) for path, name in recorded.get("submodules", {}).items()}
            check_tree(files, commit, (entry / "commit").read_bytes(), submodules)
            large = [str(path) for path in recorded.get("large", [])]
            warning = put_contents(files, large, entry / LARGE, self._bring_alone(bring)) if large else ""
            files.rename(target)
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise DamagedError(f"the stored action can't be copied: {error}", where=str(entry)) from None
        else:
            return (warning,) if warning else ()
        finally:
            remove_tree(making)

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
            self._make_room()
            yield commit

    def remember(self, ref: str, commit: str) -> None:
        """Remember that `ref` is `commit` now."""
        if self._read_refs().get(ref) != commit:
            with self._locked():
                self._remember(ref, commit)

    def _bring_alone(self, bring: Bring) -> Bring:
        """`bring`, with nobody else at work here; what it brought is kept also when it fails on the way."""

        def bring_alone(pointers: Sequence[Pointer], contents: Path) -> None:
            with self._locked():
                making = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=self._folder))
                try:
                    bring(pointers, making)
                finally:
                    contents.mkdir(exist_ok=True)
                    for pointer in pointers:
                        with contextlib.suppress(FileNotFoundError):
                            (making / pointer.oid).rename(contents / pointer.oid)
                    remove_tree(making)

        return bring_alone

    def _make(self, make: Make, held: contextlib.ExitStack) -> str:
        making = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=self._folder))
        try:
            made = make(making / "files")
            (making / "commit").write_bytes(made.commit_bytes)
            facts = {
                "url": self._url,
                "size_bytes": measure(making),
                "submodules": dict(made.submodules),
                "large": made.large,
            }
            (making / "entry.json").write_text(json.dumps(facts), encoding="utf-8")
            check_tree(making / "files", made.commit, made.commit_bytes, made.submodules)
            self._publish(making, made.commit, held)
        except DamagedError:
            hint = "`git fsck` in the repository says more"
            raise RefusedError("the repository is not in git's normal form", hint=hint) from None
        except OSError as error:
            raise AgentError(
                f"the action can't be kept: {error.strerror}", where=str(self._folder)
            ) from error
        else:
            return made.commit
        finally:
            remove_tree(making)

    def _publish(self, making: Path, commit: str, held: contextlib.ExitStack) -> None:
        """Give `making` its name, unless that is taken by what is the same."""
        handle = lock_folder(making, fcntl.LOCK_SH)  # before others see it, and remove it for lack of room
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
        refs = read_json(self._folder / "refs.json")
        return {ref: str(commit) for ref, commit in refs.items()}

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Be the only one who writes here; what a writer that died has left is cleared away first."""
        with hold_lock(self._folder / "lock"):
            clear(self._folder)
            yield


def read_json(file: Path) -> dict[str, Any]:
    """The object in `file`; an empty one where there is none, or the file is damaged."""
    try:
        data = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}


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
