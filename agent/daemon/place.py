"""The place of an identity: one machine and one state folder; a copy of it says so before it touches a job.

Noted beside the keys are the machine and where the keys' file lies. A copy on another machine finds another machine; one on
this machine finds another path *and* another inode. (A folder that was moved within its file system keeps its inode; one that
was mounted anew keeps its path.) Whoever is a copy stops: what looks like jobs of a daemon that died are jobs that run, of the
original, and burying them would kill them.

    no note        of an older agent, or just registered: noted now
    it fits        the one place: jobs are adopted, with or without a server
    it does not    ForeignStateError, unless the owner said that the original is gone: then noted anew
"""

import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from agent.daemon.state import StateFolder
from agent.errors import DamagedError, RefusedError, SpoiledError
from agent.plain_files import read_plain
from agent.seal.files import write_private_file
from agent.seal.identity import FILE_NAME

_MACHINE_ID = Path("/etc/machine-id")
_APPLICATION = "flow-agent/place/1"
_MOST_BYTES = 1 << 14


class ForeignStateError(RefusedError):
    """This state is another place's. Exit 2: starting again and again changes nothing, a person has to look."""

    exit_code: ClassVar[int] = 2


@dataclass(frozen=True, slots=True)
class StatePlace:
    """A machine (hashed: machine-id(5) asks to keep it from others; empty where there is none), and where the keys lie."""

    machine: str
    path: str
    inode: int

    def is_same(self, other: "StatePlace") -> bool:
        """Whether both are one place."""
        return self.machine == other.machine and (self.path == other.path or self.inode == other.inode)


def claim_place(state: StateFolder, *, is_moved: bool = False) -> None:
    """See to it that this is where the identity in `state` belongs. The state's lock is held.

    Raises ForeignStateError when it is not, DamagedError when the note can't be read; `is_moved`: its owner says that it is.
    """
    here = _find(state)
    if here is None:
        return  # no keys: whoever needs them says so
    noted = None if is_moved else _read(state.place)
    if noted is not None and not here.is_same(noted):
        what = (
            "is another machine's"
            if here.machine != noted.machine
            else f"is a copy of {Path(noted.path).parent}"
        )
        raise ForeignStateError(
            f"this agent's identity {what}, so this one stops and has touched nothing",
            where=str(state.path),
            hint="an identity is for one place: `agent register --replace --name NEW_NAME --url URL --token TOKEN` gives this one its own;"
            " if the original is gone for good, `agent start --moved`, once",
        )
    if is_moved:
        state.generation.unlink(missing_ok=True)
    if noted != here:
        write_private_file(state.place, json.dumps(asdict(here)).encode())


def describe_boot(boot: str) -> str:
    """The kernel's boot identifier as the server is told it: equal for equal ones, and nothing else. Empty stays empty."""
    return hmac.new(boot.encode(), _APPLICATION.encode(), hashlib.sha256).hexdigest()[:32] if boot else ""


def set_copied_jobs_aside(state: StateFolder) -> Path | None:
    """Before a copy gets an identity of its own: the jobs in it are the original's. Gives where they are now."""
    here, noted = _find(state), _read(state.place)
    if here is None or noted is None or here.is_same(noted) or not state.jobs.is_dir():
        return None
    aside = state.path / f"jobs.copied-{state.jobs.stat().st_ino:x}"
    state.jobs.rename(aside)
    return aside


def _find(state: StateFolder) -> StatePlace | None:
    file = state.identity / FILE_NAME
    try:
        inode = file.lstat().st_ino
    except FileNotFoundError:
        return None
    return StatePlace(_hash_machine(), str(state.identity.resolve()), inode)


def _hash_machine() -> str:
    """An identifier of this machine that is no other program's (as sd_id128_get_machine_app_specific(3))."""
    try:
        machine = _MACHINE_ID.read_bytes().strip()
    except OSError:
        return ""
    return hmac.new(machine, _APPLICATION.encode(), hashlib.sha256).hexdigest()[:32] if machine else ""


def _read(file: Path) -> StatePlace | None:
    try:
        return StatePlace(**json.loads(read_plain(file, _MOST_BYTES)))
    except FileNotFoundError:
        return None
    except (SpoiledError, OSError, ValueError, TypeError) as error:
        raise DamagedError(
            f"where this identity belongs can't be read: {error}",
            where=str(file),
            hint="`agent start --moved`, if it belongs here",
        ) from None
