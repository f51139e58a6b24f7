"""The folders for a user's own files: below the home, or, where somebody has none that can be used, in one for temporary files."""

import contextlib
import os
import stat
from pathlib import Path

from agent.errors import UsageError

_DATA = Path(".local", "share", "flow-agent")
_CONFIG = Path(".config", "flow-agent")


def find_home() -> Path | None:
    """The user's home folder, whether it exists or not; None where nobody says one.

    A container's user may be a bare number that the machine has no entry of (`docker run --user 12345`).
    """
    if os.environ.get("HOME"):
        return Path(os.environ["HOME"])
    import pwd

    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def user_name(uid: int | None = None) -> str:
    """Who that is (None: who runs this process): the account's name, or `uid 12345` where it has none."""
    import pwd

    uid = os.getuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def user_folder(part: str) -> Path:
    """`/var/lib/flow-agent/PART` for root, else the user's data folder.

    Where a user has no home that they may write to, the agent's part lies below the folder for temporary files. The
    server's part is meant to stay: then UsageError is raised.
    """
    if os.geteuid() == 0 and not os.environ.get("XDG_DATA_HOME"):
        return Path("/var/lib/flow-agent") / part
    if os.environ.get("XDG_DATA_HOME"):
        return Path(os.environ["XDG_DATA_HOME"]) / "flow-agent" / part
    home = find_home()
    if home is not None and _is_usable(home, _DATA / part):
        return home / _DATA / part
    if part != "agent":
        what = f"{user_name()} has no home folder to keep the {part}'s data in"
        raise UsageError(what, hint="name a folder with --data or AGENT_DATA")
    return _temporary_folder() / part


def own_config_folder() -> Path | None:
    """Where the user's own configuration is, whether it exists or not; None where somebody else has made that place."""
    if os.environ.get("XDG_CONFIG_HOME"):
        return Path(os.environ["XDG_CONFIG_HOME"]) / "flow-agent"
    home = find_home()
    if home is not None and (_is_usable(home, _CONFIG) or os.access(home / _CONFIG, os.R_OK | os.X_OK)):
        return home / _CONFIG
    folder = _temporary_place()
    return folder if not os.path.lexists(folder) or _is_own(folder) else None


def _is_usable(home: Path, below: Path) -> bool:
    """Whether this user may write to a folder of the home, or make it there.

    Docker says HOME=/ to a user without an entry, and an image may say that of root.
    """
    folders = [home / below, *(home / above for above in below.parents)]
    there = next((folder for folder in folders if os.access(folder, os.F_OK)), None)
    return there is not None and os.access(there, os.W_OK | os.X_OK)


def _temporary_folder() -> Path:
    """A folder of this user's own below the one for temporary files. Raises UsageError when somebody else made it."""
    folder = _temporary_place()
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if not _is_own(folder):
        raise UsageError(
            "this folder is not yours alone, and you have no home folder",
            where=str(folder),
            hint="set HOME, or name a folder with AGENT_STATE",
        )
    return folder


def _temporary_place() -> Path:
    import tempfile

    return Path(tempfile.gettempdir()) / f"flow-agent-{os.geteuid()}"


def _is_own(folder: Path) -> bool:
    """Whether the folder is this user's, and nobody else may write to it."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022
