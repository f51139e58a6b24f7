"""The state folder: what an agent keeps on its machine, and what lies where in it.

STATE/agent.json      the registration: there means registered
STATE/identity/       the private keys (agent.seal), and where they belong (agent.daemon.place)
STATE/jobs/           a folder per job attempt (agent.job)
STATE/draining        there means: no new jobs, also after a restart
STATE/reservations.json  which GPUs are kept for whom (agent.daemon.reservations)
STATE/policy.seen     where the owner's policy was: it must not vanish unnoticed
STATE/boot            the boot during which the daemon ran last
STATE/agent.sock      where the running daemon answers `agent status`, `agent drain` and `agent reserve`
STATE/lock            held (flock) by the running daemon: there is one
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent import codec
from agent.config import Settings
from agent.errors import DamagedError, NotFoundError, RefusedError, SpoiledError
from agent.plain_files import open_plain, read_plain
from agent.seal.files import write_private_file
from agent.trees import remove_tree

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Registration:
    """Who this machine's agent is to which server. `labels` are the owner's; the machine's own are added each time."""

    agent: str
    server: str
    url: str
    name: str
    labels: tuple[str, ...] = ()
    group: str = ""
    max_jobs: int = 1
    is_ephemeral: bool = False
    work_folder: str = ""  # empty: as the settings say


@dataclass(frozen=True, slots=True)
class StateFolder:
    """The paths in an agent's state folder."""

    path: Path

    @property
    def registration(self) -> Path:
        """The registration record."""
        return self.path / "agent.json"

    @property
    def identity(self) -> Path:
        """The folder of the private keys."""
        return self.path / "identity"

    @property
    def place(self) -> Path:
        """Where the identity belongs (agent.daemon.place)."""
        return self.identity / "place.json"

    @property
    def generation(self) -> Path:
        """How often the identity was connected (agent.daemon.generation)."""
        return self.identity / "generation"

    @property
    def jobs(self) -> Path:
        """The job folders."""
        return self.path / "jobs"

    @property
    def draining(self) -> Path:
        """The mark of an agent that takes no new jobs."""
        return self.path / "draining"

    @property
    def reservations(self) -> Path:
        """Which GPUs are kept for whom."""
        return self.path / "reservations.json"

    @property
    def seen_policy(self) -> Path:
        """Where the path of the policy file is noted that the daemon has read."""
        return self.path / "policy.seen"

    @property
    def gpu_board(self) -> Path:
        """How the GPUs do, for the supervisors (agent.machine.gpu_board)."""
        return self.path / "gpus"

    @property
    def boot(self) -> Path:
        """The kernel's boot identifier as the daemon saw it last."""
        return self.path / "boot"

    @property
    def socket(self) -> Path:
        """The running daemon's control socket."""
        return self.path / "agent.sock"

    @property
    def lock(self) -> Path:
        """The running daemon's lock."""
        return self.path / "lock"

    def make(self) -> None:
        """Make the folder, for our eyes only. Raises OSError where that can't be (agent.daemon.state_access says it)."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load_registration(self) -> Registration:
        """The registration. Raises NotFoundError when this machine has none, DamagedError when it can't be read."""
        try:
            text = read_plain(self.registration, _MOST_BYTES).decode()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(
                "this machine is not registered",
                where=str(self.path),
                hint="run `agent register --url URL --token TOKEN`",
            ) from None
        except (OSError, UnicodeDecodeError, SpoiledError) as error:
            why = error.what if isinstance(error, SpoiledError) else str(error)
            raise DamagedError(
                f"the registration can't be read: {why}",
                where=str(self.registration),
                hint="run this as the agent's user, or see to that file",
            ) from None
        return codec.parse(Registration, text, where=str(self.registration))

    def save_registration(self, registration: Registration) -> None:
        """Write the registration, whole or not at all."""
        write_private_file(self.registration, codec.dump(registration).encode())

    def forget_registration(self) -> None:
        """Remove the registration, the keys and the mark of draining; job folders stay for who looks for them."""
        self.registration.unlink(missing_ok=True)
        self.draining.unlink(missing_ok=True)
        remove_tree(self.identity)

    def has_rebooted(self, current: str) -> bool:
        """Whether the machine was booted again since a daemon ran here; `current` is the boot's identifier."""
        try:
            return read_plain(self.boot, _MOST_BYTES).decode(errors="replace") != current
        except FileNotFoundError:
            return False
        except SpoiledError:
            return True

    def note_boot(self, current: str) -> None:
        """Note during which boot the daemon runs, once it has taken its jobs up. Raises OSError, of a full disk above all."""
        if self.has_rebooted(current) or not self.boot.exists():
            write_private_file(self.boot, current.encode())

    @property
    def is_draining(self) -> bool:
        """Whether the agent takes no new jobs."""
        return self.draining.exists()

    def set_draining(self, *, is_draining: bool) -> None:
        """Put the mark of draining there, or take it away."""
        if is_draining:
            self.draining.touch(mode=0o600)
        else:
            self.draining.unlink(missing_ok=True)

    @contextlib.contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Be the one daemon of this state. Raises RefusedError when there is one."""
        self.make()
        os.close(open_plain(self.lock, os.O_WRONLY | os.O_CREAT))
        try:
            with self._take(fcntl.LOCK_EX):
                yield
        except BlockingIOError:
            raise RefusedError(
                "an agent is already running on this state",
                where=str(self.path),
                hint="`agent status` shows it; a second agent needs a state of its own (AGENT_STATE)",
            ) from None

    @contextlib.contextmanager
    def _take(self, kind: int) -> Iterator[None]:
        file = open_plain(self.lock, os.O_RDONLY)
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            yield
        finally:
            os.close(file)


def choose_work_folder(registration: Registration, settings: Settings) -> Path:
    """Where jobs work: what was said at registration, unless something nearer says otherwise."""
    if registration.work_folder and settings.origins["work_dir"] == "default":
        return Path(registration.work_folder)
    return settings.work_folder
