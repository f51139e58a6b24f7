"""A second user of this machine, whose jobs are run by a daemon of root's: a real one, gone afterwards."""

import contextlib
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import agent
from agent.daemon.state import StateFolder
from agent.ids import ENTROPY_BYTES
from agent.spec.job import JobSpec
from agent.spec.outcome import JobResult
from support.daemon_process import DaemonProcess, daemon_process
from support.fake_server import FakeServer
from support.wire import job_spec

_TRY = "import agent.job.supervisor.process, cryptography, yaml"


@dataclass(frozen=True)
class SecondUser:
    """The user, and the environment in which a daemon's Python can be read by it."""

    name: str
    uid: int
    gid: int
    python: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[bytes]:
        """Run a command as this user."""
        return subprocess.run(
            command, user=self.uid, group=self.gid, extra_groups=[], capture_output=True, cwd="/", check=False
        )

    def processes(self) -> list[int]:
        """The ids of all that this user has running."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and _real_user(entry) == self.uid:
                    found.append(int(entry.name))
        return found


@contextlib.contextmanager
def second_user() -> Iterator[SecondUser]:
    """Make a user, and remove it. Skips where that can't be done: not as root, or with a Python that others can't read."""
    if os.geteuid() != 0:
        pytest.skip("only root can run jobs as another user; CI does")
    if shutil.which("useradd") is None:
        pytest.skip("there is no useradd on this machine")
    name = f"flowt{os.urandom(ENTROPY_BYTES).hex()[:8]}"
    subprocess.run(["useradd", "--user-group", "--no-create-home", name], check=True, capture_output=True)
    try:
        entry = pwd.getpwnam(name)
        python, environment = _find_python(entry.pw_uid, entry.pw_gid)
        yield SecondUser(name, entry.pw_uid, entry.pw_gid, python, environment)
    finally:
        subprocess.run(["userdel", "--force", name], check=True, capture_output=True)


@contextlib.asynccontextmanager
async def running_as(
    user: SecondUser, state: StateFolder, *, prefix: Sequence[str] = (), **more: str
) -> AsyncIterator[DaemonProcess]:
    """A daemon on `state` whose jobs run as `user`."""
    environment = {**user.environment, "AGENT_RUN_AS": user.name, **more}
    async with daemon_process(state, prefix=prefix, python=user.python, **environment) as daemon:
        yield daemon


async def run(server: FakeServer, job: str, what: str | JobSpec) -> tuple[JobResult, str]:
    """Run a script, or a job, to its end; how it ended, and what it printed."""
    spec = job_spec(job, what) if isinstance(what, str) else what
    await server.assign_spec(spec, 1, {})
    await server.wait_for(lambda: server.result(job))
    result = server.result(job)
    assert result is not None
    return result, server.output(job).decode()


def give_state(state: StateFolder, agent: SecondUser, *groups: str) -> list[str]:
    """Make `state` the user `agent`'s; the command that runs a program as that user, with the two rights that the system's unit gives."""
    for folder in (state.path, *state.path.rglob("*")):
        os.chown(folder, agent.uid, agent.gid)
    rights = "-all,+setuid,+setgid"
    more = ["--groups", ",".join(groups)] if groups else ["--clear-groups"]
    return [
        *("setpriv", "--reuid", str(agent.uid), "--regid", str(agent.gid), *more, "--no-new-privs"),
        *("--inh-caps", rights, "--ambient-caps", rights, "--bounding-set", rights),
    ]


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that other users can go through, which pytest's are not."""
    folder = Path(tempfile.mkdtemp(prefix="flow-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _real_user(process: Path) -> int:
    line = next(line for line in (process / "status").read_text().splitlines() if line.startswith("Uid:"))
    return int(line.split()[1])


def _find_python(uid: int, gid: int) -> tuple[str, dict[str, str]]:
    """A Python of this one's version that the user can run, and what leads it to our code and to what that needs."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    path = {"PYTHONPATH": os.pathsep.join([str(Path(agent.__file__).parents[1]), *packages])}
    other = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for python, environment in ((sys.executable, {}), (other, path)):
        if _can_run(python, environment, uid, gid):
            return python, environment
    pytest.skip(f"another user can't read {sys.executable}, and there is no {other} that would do")


def _can_run(python: str, environment: Mapping[str, str], uid: int, gid: int) -> bool:
    command: Sequence[str] = [python, "-s", "-c", _TRY]
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            user=uid,
            group=gid,
            extra_groups=[],
            capture_output=True,
            cwd="/",
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0
