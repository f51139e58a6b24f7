"""Access to a state folder that a machine refuses, said as a person would: which folder, what is wrong with it, and what to do.

Nothing of a state is there before an agent is registered, so no folder at all is no fault.
"""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from agent.daemon.state import StateFolder
from agent.errors import AgentError, NotFoundError, SpoiledError, UsageError

_ANOTHER = "or name another with AGENT_STATE"
_ADVICE = {
    errno.EACCES: f"run this as the user whose folder it is, {_ANOTHER}",
    errno.EPERM: f"run this as the user whose folder it is, {_ANOTHER}",
    errno.ENOSPC: f"make room there, {_ANOTHER}",
    errno.EDQUOT: f"make room there, {_ANOTHER}",
    errno.EROFS: f"mount it so that it can be written, {_ANOTHER}",
}


@contextlib.contextmanager
def accessible(state: StateFolder) -> Iterator[None]:
    """Work with `state`; whatever the machine refuses of it within is a sentence.

    Raises UsageError when something that is no folder stands in its place, AgentError when we may not look into it, or a file of
    it can't be read or written. A NotFoundError for a machine that is not registered says what keeps it from being so.
    """
    try:
        check_access(state)
        yield
    except NotFoundError as error:
        refusal = find_refusal(state)
        if refusal is None or error.where != str(state.path):
            raise
        what = f"{error.what}, and can't be: {refusal.what}"
        raise NotFoundError(what, where=refusal.where, hint=refusal.hint) from None
    except SpoiledError as error:
        if not isinstance(error.__cause__, OSError) or error.__cause__.errno not in _ADVICE:
            raise
        raise _explain(state, error.__cause__) from None
    except OSError as error:
        if error.filename is None or not _is_within(state.path, error.filename):
            raise
        raise _explain(state, error) from None


def check_access(state: StateFolder) -> None:
    """Raise UsageError when `state` is where no folder can be, AgentError when we may not look into it; without one, nothing."""
    for place in (state.path, *state.path.parents):
        try:
            if place.is_dir():
                break
            is_in_the_way = os.path.lexists(place)
        except OSError as error:
            raise _explain(state, error) from None
        if is_in_the_way:
            raise UsageError(
                f"the state can't be in {state.path}: {_name_obstacle(place, is_on_the_way=place != state.path)}",
                where=str(place),
                hint="name another folder with AGENT_STATE",
            )
    if state.path.is_dir() and not os.access(state.path, os.R_OK | os.X_OK):
        raise _explain(state, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def find_refusal(state: StateFolder) -> AgentError | None:
    """What keeps us from writing to `state`, or from making it; None where nothing is known to. Tries nothing, and raises nothing."""
    existing = next(place for place in (state.path, *state.path.absolute().parents) if place.is_dir())
    if os.access(existing, os.W_OK | os.X_OK):
        return None
    is_read_only = os.statvfs(existing).f_flag & os.ST_RDONLY
    number = errno.EROFS if is_read_only else errno.EACCES
    return _explain(state, OSError(number, os.strerror(number)))


def _name_obstacle(place: Path, *, is_on_the_way: bool) -> str:
    """What stands where a folder should be."""
    if place.is_symlink():
        where = "there is a link on the way that leads" if is_on_the_way else "that is a link"
        return f"{where} to no folder ({place.readlink()})" if not place.exists() else f"{where} to a file"
    return "there is something else than a folder on the way" if is_on_the_way else "that is not a folder"


def _explain(state: StateFolder, error: OSError) -> AgentError:
    named = Path(os.fsdecode(error.filename)) if error.filename is not None else state.path
    return AgentError(
        f"the state folder can't be used: {error.strerror or error}",
        where=str(named if state.path in named.parents else state.path),
        hint=_ADVICE.get(error.errno or 0, "name another with AGENT_STATE"),
    )


def _is_within(folder: Path, name: str | bytes) -> bool:
    place = Path(os.fsdecode(name))
    return place == folder or folder in place.parents or place in folder.parents
