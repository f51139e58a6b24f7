"""Shared folders that come and go between processes: locks that go with a folder, and removal in one step."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from agent.errors import AgentError
from agent.trees import remove_tree

TEMPORARY = ".making-"  # how the name of a folder begins that is half made, or half removed


@contextlib.contextmanager
def hold_lock(file: Path, *, waits: bool = True) -> Iterator[None]:
    """Hold the lock `file`, whose folder is made when it isn't there.

    Raises BlockingIOError when somebody else does and we don't wait, AgentError when the folder is not ours to write.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise AgentError(
            f"the store of actions can't be written: {error.strerror}",
            where=str(file.parent),
            hint="name a folder that is yours with AGENT_WORK_DIR",
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def lock_folder(folder: Path, kind: int) -> int | None:
    """A locked handle of `folder`; None when it isn't there, or has gone while we waited.

    Raises BlockingIOError when `kind` says not to wait and somebody else holds it.
    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(handle, kind)
        if os.path.samestat(os.fstat(handle), folder.lstat()):
            return handle
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def evict(folder: Path) -> bool:
    """Remove a commit unless it is in use; gives whether it is gone."""
    try:
        handle = lock_folder(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if handle is not None:
        try:
            remove(folder)
        finally:
            os.close(handle)
    return True


def remove(folder: Path) -> None:
    """Take a commit away at once, and delete it then."""
    going = folder.with_name(f"{TEMPORARY}{folder.name}-{secrets.token_hex(6)}")
    with contextlib.suppress(FileNotFoundError):
        folder.rename(going)
    remove_tree(going)


def sweep(lock: Path) -> None:
    """Clear a repository's folder, unless somebody is at work in it."""
    with contextlib.suppress(OSError, AgentError), hold_lock(lock, waits=False):
        clear(lock.parent)


def clear(folder: Path) -> None:
    """Remove what writers that died have left in a repository's folder."""
    for left in folder.glob(f"{TEMPORARY}*"):
        if left.is_dir() and not left.is_symlink():
            remove_tree(left)
        else:
            left.unlink(missing_ok=True)
