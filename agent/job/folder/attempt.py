"""A job attempt on disk: `ROOT/<job>-<lease>/`, there as a whole or not at all.

    spec.json       what is to be done                settings.json   how this machine does it
    sealed.json     secrets, still sealed             journal         everything that the job produced
    control.sock    cancel, ping, attach              lock            held (flock) by the supervisor as long as it lives
    supervisor.err  a crash of our own code           ending.json     how it ended, of a job whose folder was spoiled
    event.json      a long event's document, which comes after the job; event.part as long as it is not whole

'The job is accepted' means: its folder is there. It is made under a temporary name, synced, and moved.

A job that runs as the agent's own user can reach its folder. So each file in it is opened as a plain file or not at all
(SpoiledError), and `set_aside` puts a folder that was spoiled out of the way, with what is left of it under a name that
says so. `.spoiled-*` and `.left-*`, here and in the work folder, are what could not be removed; each start tries again.
"""

import contextlib
import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import codec
from agent.errors import AgentError, DamagedError, SpoiledError, UsageError
from agent.job.account.account import Account
from agent.job.account.errand import run_errand
from agent.job.folder.settings import JobSettings
from agent.plain_files import describe_kind, open_plain, read_plain
from agent.spec.event_apart import find_digest, read_document
from agent.spec.job import JobSpec
from agent.spec.outcome import JobResult
from agent.spec.stages import StagesWork
from agent.trees import Remains, remove_tree

_NAME = re.compile(r"(?P<job>[A-Za-z0-9_][A-Za-z0-9_.-]*)-(?P<lease>[1-9][0-9]*)")
_HALF_MADE = ".new-"
_DOOMED = ".old-"
_SPOILED = ".spoiled-"
_LEFT = ".left-"
WORK = "_work"  # below a job's folder in the work folder: what holds the workspace of a job that runs as a user of its own
_OUR_FILES = ("spec.json", "settings.json", "sealed.json", "journal", "lock", "ending.json")
ROOM_FOR_LAST_WORDS = (
    b"\n" * 1024
)  # in a crash log from its beginning: that the disk is full can be said on a full one
_MOST_BYTES = 64 << 20  # of a specification; what a server may send is less
_SEALED: Any = Mapping[str, bytes]  # what `sealed.json` holds
_COPY_BYTES = 1 << 30  # of one call of the kernel's


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
        """What every process of this attempt carries in its environment as TRACKING_VARIABLE."""
        return f"flow_{self.name}"

    @property
    def ending(self) -> Path:
        """How the job ended whose folder this one stands for."""
        return self.path / "ending.json"

    @property
    def event(self) -> Path:
        """The document of the run's event, where that is too long to come with the job."""
        return self.path / "event.json"

    def read_whole_spec(self) -> JobSpec:
        """What is to be done, with all of its event. Raises DamagedError."""
        spec = self.read_spec()
        if spec.event_apart is None:
            return spec
        text = _read(self.event)
        if find_digest(text) != spec.event_apart.digest:
            raise DamagedError("the run's event is not what the server sent", where=str(self.event))
        return spec.with_event(read_document(text, spec.event_apart, where=str(self.event)))

    def read_spec(self) -> JobSpec:
        """What is to be done, less an event that is kept apart. Raises DamagedError."""
        file = self.path / "spec.json"
        return codec.parse(JobSpec, _read(file), where=str(file))

    def has_stages(self) -> bool:
        """Whether the job's work is stages. What can't be read has none."""
        try:
            work = json.loads(_read(self.path / "spec.json"))["work"]
            return bool(work["kind"] == StagesWork.KIND)
        except (AgentError, ValueError, KeyError, TypeError, RecursionError):
            return False

    def read_settings(self) -> JobSettings:
        """How this machine does it. Raises DamagedError."""
        file = self.path / "settings.json"
        return codec.parse(JobSettings, _read(file), where=str(file))

    def read_ending(self) -> JobResult | None:
        """How the job ended whose spoiled folder was set aside; None for every other."""
        if not os.path.lexists(self.ending):
            return None
        return codec.parse(JobResult, _read(self.ending), where=str(self.ending))

    def has_sealed(self) -> bool:
        """Whether there are sealed secrets, or what was meant to be some."""
        return _read(self.path / "sealed.json") != b"{}"

    def read_sealed(self) -> dict[str, bytes]:
        """The job's secrets by name, still sealed. Raises DamagedError."""
        file = self.path / "sealed.json"
        sealed: dict[str, bytes] = codec.parse(_SEALED, _read(file), where=str(file))
        return sealed


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
            _write(making / "settings.json", codec.dump(settings))
            _write(making / "sealed.json", codec.dump(sealed))
            _write(making / "supervisor.err", ROOM_FOR_LAST_WORDS.decode())
            _sync_folder(making)
            making.rename(folder.path)
            os.fsync(root_file)
        except OSError as error:
            remove_tree(making)
            raise AgentError(f"the job cannot be stored: {error.strerror}", where=str(root)) from None
    return folder


def rewrite_settings(folder: JobFolder, settings: JobSettings) -> None:
    """Put `settings` in place of those that are there, for a supervisor that has not started. Raises OSError."""
    making = folder.path / f"{_HALF_MADE}settings-{os.urandom(4).hex()}"
    _write(making, codec.dump(settings))
    making.rename(folder.path / "settings.json")


def list_job_folders(root: Path) -> list[JobFolder]:
    """The job folders under `root`, by name. What a crash left half made or half removed is removed on the way."""
    if not root.is_dir():
        return []
    leftovers = [entry for entry in root.iterdir() if entry.name.startswith((_HALF_MADE, _DOOMED))]
    if leftovers:
        with _locked(root):  # nobody is making one just now
            for entry in leftovers:
                remove_tree(entry)  # what can't be removed today is tried again another day
    return [folder for entry in sorted(root.iterdir()) if (folder := open_job_folder(entry)) is not None]


def open_job_folder(path: Path) -> JobFolder | None:
    """The job folder at `path`, or None when there is none. One that is spoiled is one too."""
    match = _NAME.fullmatch(path.name)
    if match is None or not _is_ours(path):
        return None
    return JobFolder(path, match["job"], int(match["lease"]))


def remove_job_folder(
    folder: JobFolder, work_folder: Path | None = None, account: Account | None = None
) -> Remains:
    """Forget the job: its folder and its workspace. Links are removed, never followed. Doing it again does no harm.

    The job is off the list first. What could not be removed is what this gives; it stays under another name, for
    `remove_leftovers`. `work_folder` is where its workspace lies, and `account` as whom it ran, when its settings can't be
    read. Raises AgentError when the folder can't be taken off the list.
    """
    with contextlib.suppress(DamagedError, FileNotFoundError):
        settings = folder.read_settings()
        work_folder, account = settings.work_folder, settings.account
    doomed = folder.path.with_name(f"{_DOOMED}{os.urandom(8).hex()}")
    try:
        folder.path.rename(doomed)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise AgentError(
            f"the job's folder can't be moved: {error.strerror}", where=str(folder.path)
        ) from None
    remains = [_remove_or_leave(doomed, folder.name)]
    if work_folder is not None:
        empty_work(work_folder / folder.name, account)
        remains.append(_remove_or_leave(work_folder / folder.name, folder.name))
    named = tuple(name for one in remains for name in one.named)
    return Remains(sum(one.count for one in remains), named[:3])


def list_leftovers(root: Path, work_folder: Path) -> list[Path]:
    """What could not be removed of jobs that are gone: in the folder of jobs, and in the work folder."""
    found: list[Path] = []
    for folder in (root, work_folder):
        with contextlib.suppress(OSError):
            found += sorted(entry for entry in folder.iterdir() if entry.name.startswith((_LEFT, _SPOILED)))
    return found


def remove_leftovers(root: Path, work_folder: Path, account: Account | None = None) -> list[Path]:
    """Try once more to remove what is left of jobs that are gone; gives what is left still."""
    for path in list_leftovers(root, work_folder):
        empty_work(path, account)
        remove_tree(path)
    return list_leftovers(root, work_folder)


def empty_work(path: Path, account: Account | None) -> None:
    """Have the jobs' user, where there is one of its own, remove its files below `path`: nobody else does it with more rights."""
    if account is not None and path.is_dir() and not path.is_symlink():
        with contextlib.suppress(AgentError):  # what is left is told
            run_errand(account, "empty", str(path), str(path / WORK))


def set_aside(folder: JobFolder, result: JobResult, journal: int | None) -> Path:
    """Put a spoiled folder out of the way, and a fresh one there that says that the job ended as `result`.

    `journal` is the job's journal, open, where somebody had it before it was spoiled: the fresh folder gets its bytes; else
    those of the file that is there, if one is. Gives where the spoiled one is now. Raises AgentError when that can't be done;
    nothing has changed then.
    """
    root = folder.path.parent
    aside = root / f"{_SPOILED}{folder.name}-{os.urandom(4).hex()}"
    making = root / f"{_HALF_MADE}{os.urandom(8).hex()}"
    try:
        with _locked(root) as root_file:
            making.mkdir(mode=0o700)
            _write(making / folder.ending.name, codec.dump(result))
            _write(making / folder.lock.name, "")
            _rescue_journal(folder, journal, making / folder.journal.name)
            _sync_folder(making)
            with contextlib.suppress(FileNotFoundError):
                folder.path.rename(aside)
            making.rename(folder.path)
            os.fsync(root_file)
    except OSError as error:
        remove_tree(making)
        raise AgentError(
            f"the job's folder can't be set aside: {error.strerror}", where=str(folder.path)
        ) from None
    return aside


def take_lock(folder: JobFolder) -> int | None:
    """The lock's file descriptor (close-on-exec), or None when a supervisor holds it. Raises SpoiledError."""
    file = open_plain(folder.lock, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def is_running(folder: JobFolder) -> bool:
    """Whether a supervisor lives in `folder`. True from the moment that its launch returned.

    Raises SpoiledError when the lock can't tell: it is no file, or gone though the job has begun.
    """
    try:
        file = open_plain(folder.lock, os.O_RDONLY)
    except FileNotFoundError:
        if os.path.lexists(folder.journal):
            raise SpoiledError("'lock' is gone", where=str(folder.lock)) from None
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
    """The control socket's path by way of an open folder: the real one may be over the 107 bytes that Linux allows.

    Raises OSError, also when something else than a socket lies there: a link may lead to anybody's.
    """
    handle = os.open(folder.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            facts = os.stat(folder.control.name, dir_fd=handle, follow_symlinks=False)
            if not stat.S_ISSOCK(facts.st_mode):
                raise ConnectionRefusedError(f"'{folder.control.name}' is {describe_kind(facts)}, no socket")
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
        return read_plain(file, _MOST_BYTES)
    except OSError as error:
        raise DamagedError(f"'{file.name}' can't be read: {error.strerror}", where=str(file)) from None


def _is_ours(path: Path) -> bool:
    """Whether this is a job's folder, or what became of one. A folder that holds none of our files is not ours to judge."""
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            return True
        for name in _OUR_FILES:
            with contextlib.suppress(FileNotFoundError):
                os.lstat(path / name)
                return True
    except FileNotFoundError:
        return False
    except OSError:  # its rights were taken away
        return True
    return False


def _remove_or_leave(path: Path, name: str) -> Remains:
    """Remove a tree of the job `name`; what can't go is left under a name that says so."""
    remains = remove_tree(path)
    if remains:
        with contextlib.suppress(OSError):
            path.rename(path.with_name(f"{_LEFT}{name}-{os.urandom(4).hex()}"))
    return remains


def _rescue_journal(folder: JobFolder, journal: int | None, target: Path) -> None:
    """Bring what the job has said so far to `target`; where that can't be had there is no journal."""
    opened = -1
    if journal is None:
        try:
            journal = opened = open_plain(folder.journal, os.O_RDONLY)
        except (SpoiledError, FileNotFoundError):
            return
    file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(journal).st_size
        offset = 0
        while offset < size:
            copied = os.copy_file_range(journal, file, min(size - offset, _COPY_BYTES), offset)
            if copied == 0:
                break
            offset += copied
        os.fsync(file)
    finally:
        os.close(file)
        if opened >= 0:
            os.close(opened)


def _sync_folder(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
