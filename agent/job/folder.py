"""A job attempt on disk: `ROOT/<job>-<lease>/`, there as a whole or not at all.

    spec.json       what is to be done                settings.json   how this machine does it
    sealed.json     secrets, still sealed             journal         everything that the job produced
    control.sock    cancel, ping, attach              lock            held (flock) by the supervisor as long as it lives
    supervisor.err  a crash of our own code           work/           files of the running job that are nobody else's

'The job is accepted' means: its folder is there. It is made under a temporary name, synced, and moved.
"""

import base64
import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.errors import AgentError, DamagedError, UsageError
from agent.job.settings import JobSettings, dump_settings, parse_settings
from agent.spec import codec
from agent.spec.job import JobSpec

_NAME = re.compile(r"(?P<job>[A-Za-z0-9_][A-Za-z0-9_.-]*)-(?P<lease>[1-9][0-9]*)")
_HALF_MADE = ".new-"
_DOOMED = ".old-"


@dataclass(frozen=True, slots=True)
class JobFolder:
    """One attempt at one job, and where its files lie."""

    path: Path
    job: str
    lease: int

    @property
    def journal(self) -> Path:
        """Everything that the job produced."""
        return self.path / "journal"

    @property
    def control(self) -> Path:
        """The unix socket on which the supervisor listens."""
        return self.path / "control.sock"

    @property
    def lock(self) -> Path:
        """The file that is locked as long as the supervisor lives."""
        return self.path / "lock"

    @property
    def crash_log(self) -> Path:
        """What our own code said when it went down."""
        return self.path / "supervisor.err"

    @property
    def name(self) -> str:
        """`<job>-<lease>`: also the name of the job's folder in the work folder."""
        return self.path.name

    @property
    def tracking_id(self) -> str:
        """What every process of this attempt carries in its environment as RUNNER_TRACKING_ID."""
        return f"flow_{self.name}"

    def read_spec(self) -> JobSpec:
        """What is to be done. Raises DamagedError."""
        file = self.path / "spec.json"
        return codec.parse(JobSpec, _read(file), where=str(file))

    def read_settings(self) -> JobSettings:
        """How this machine does it. Raises DamagedError."""
        file = self.path / "settings.json"
        return parse_settings(_read(file), where=str(file))

    def has_sealed(self) -> bool:
        """Whether there are sealed secrets, or what was meant to be some."""
        return _read(self.path / "sealed.json") != b"{}"

    def read_sealed(self) -> dict[str, bytes]:
        """The job's secrets by name, still sealed. Raises DamagedError."""
        file = self.path / "sealed.json"
        try:
            return {
                name: base64.b64decode(text, validate=True) for name, text in json.loads(_read(file)).items()
            }
        except (ValueError, TypeError, AttributeError) as error:
            raise DamagedError(f"not a job's sealed secrets: {error}", where=str(file)) from None


def create_job_folder(
    root: Path, spec: JobSpec, lease: int, settings: JobSettings, sealed: Mapping[str, bytes]
) -> JobFolder:
    """The folder of the attempt `lease` at `spec.job`; when it returns, the job is on the disk to stay.

    A folder that is there already is left as it is. Raises AgentError when the disk will not take it.
    """
    name = f"{spec.job}-{lease}"
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"'{spec.job}' lease {lease} cannot name a folder", hint="job ids are letters, digits, _ . and -"
        )
    folder = JobFolder(root / name, spec.job, lease)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(root) as root_file:
        if (folder.path / "spec.json").exists():
            return folder
        making = root / f"{_HALF_MADE}{os.urandom(8).hex()}"
        making.mkdir(mode=0o700)
        try:
            _write(making / "spec.json", codec.dump(spec))
            _write(making / "settings.json", dump_settings(settings))
            _write(making / "sealed.json", json.dumps(codec.to_json(sealed)))
            _sync_folder(making)
            making.rename(folder.path)
            os.fsync(root_file)
        except OSError as error:
            shutil.rmtree(making, ignore_errors=True)
            raise AgentError(f"the job cannot be stored: {error.strerror}", where=str(root)) from None
    return folder


def list_job_folders(root: Path) -> list[JobFolder]:
    """The job folders under `root`, by name. What a crash left half made or half removed is removed on the way."""
    if not root.is_dir():
        return []
    leftovers = [entry for entry in root.iterdir() if entry.name.startswith((_HALF_MADE, _DOOMED))]
    if leftovers:
        with _locked(root):  # nobody is making one just now
            for entry in leftovers:
                with contextlib.suppress(
                    AgentError
                ):  # what can't be removed today is tried again another day
                    _remove_tree(entry)
    return [folder for entry in sorted(root.iterdir()) if (folder := open_job_folder(entry)) is not None]


def open_job_folder(path: Path) -> JobFolder | None:
    """The job folder at `path`, or None when there is none."""
    match = _NAME.fullmatch(path.name)
    if match is None or not (path / "spec.json").is_file():
        return None
    return JobFolder(path, match["job"], int(match["lease"]))


def remove_job_folder(folder: JobFolder) -> None:
    """Forget the job: its folder and its workspace. Links are removed, never followed. Doing it again does no harm.

    Raises AgentError naming a file that this user may not remove.
    """
    with contextlib.suppress(DamagedError, FileNotFoundError):
        _remove_tree(folder.read_settings().work_folder / folder.name)
    doomed = folder.path.with_name(f"{_DOOMED}{os.urandom(8).hex()}")
    try:
        folder.path.rename(doomed)
    except FileNotFoundError:
        return
    _remove_tree(doomed)


def take_lock(folder: JobFolder) -> int | None:
    """The lock's file descriptor (close-on-exec), or None when a supervisor holds it."""
    file = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def is_running(folder: JobFolder) -> bool:
    """Whether a supervisor lives in `folder`. True from the moment that its launch returned."""
    try:
        file = os.open(folder.lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(file)


@contextlib.contextmanager
def reach_control(folder: JobFolder) -> Iterator[str]:
    """The control socket's path by way of an open folder: the real one may be over the 107 bytes that Linux allows."""
    handle = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{folder.control.name}"
    finally:
        os.close(handle)


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[int]:
    file = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _write(file: Path, text: str) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    # Half a surrogate pair, which UTF-8 cannot say, becomes the escape with which JSON can.
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DamagedError(f"a file of the job cannot be read: {error.strerror}", where=str(file)) from None


def _sync_folder(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _remove_tree(path: Path) -> None:
    """Remove `path` with all below it; folders that their owner made unwritable are opened up on the way."""

    def open_up(function: Callable[..., Any], name: str, information: Any) -> None:
        error = information[1]
        if isinstance(error, FileNotFoundError):
            return
        try:
            Path(name).parent.chmod(0o700)
            if function in (os.scandir, os.open, os.lstat) or Path(name).is_dir():
                Path(name).chmod(0o700, follow_symlinks=True)
                shutil.rmtree(name)
            else:
                function(name)
        except OSError:
            raise AgentError(
                f"a file that the job left cannot be removed: {error.strerror}",
                where=name,
                hint="it belongs to another user: remove it as root",
            ) from None

    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path, onerror=open_up)
