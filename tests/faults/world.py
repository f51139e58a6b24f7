"""A server, agents and the lines between them, all of them real processes, and whatever may happen to them."""

import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from faults.schedule import Fault, Kind
from support.balancer import free_port
from support.chaos_line import ChaosLine, Weather, chaos_line
from support.jumping import JumpingClock
from support.lab import Lab
from support.postgres import Cluster, run_statement
from support.small_disk import SmallDisk, small_disk, why_no_small_disks

from agent.job.launch.launcher import JobFolder, list_job_folders
from agent.job.process.ending import find_supervisors
from agent.journal.file import JournalReader
from agent.journal.format import Closed, Log

AGENTS = ("one", "two")
JOBS_AT_A_TIME = 2  # of each agent
PATIENCE_SECONDS = float(os.environ.get("AGENT_TEST_PATIENCE", "240"))
KEY = "bWFzdGVyLWtleS1mb3ItdGVzdHMtMzItYnl0ZXMhISE="
DISK_KINDS = frozenset({Kind.FULL_AGENT, Kind.FULL_SERVER})

_DISK_BYTES = 64 << 20
_LOOK_SECONDS = 0.02
_STILL_SECONDS = 3.0  # without any work: there is none left to count moments by
_WEATHER = {
    Kind.SILENCE: Weather.SILENT,
    Kind.DRIP: Weather.DRIPPING,
    Kind.LATENESS: Weather.LATE,
    Kind.OUTAGE: Weather.REFUSING,
}


@dataclass(frozen=True)
class Killed:
    """What a supervisor had written when it was killed: its job's log, and whether the job had ended."""

    log: bytes
    had_ended: bool


@dataclass
class Record:
    """What was done, for whoever judges the outcome."""

    killed: dict[str, Killed] = field(default_factory=dict)  # by job id
    cramped: list[tuple[str, float, float]] = field(
        default_factory=list
    )  # agents' full disks, from when to when


class World(Lab):
    """A lab whose parts are killed, cut off and cramped. `begin` first."""

    def begin(self, stack: ExitStack, cluster: Cluster | None) -> None:
        """Start everything; `stack` ends what is no process."""
        self.cluster, self.record = cluster, Record()
        self.disks: dict[str, SmallDisk] = {}
        self._carried: dict[JobFolder, int] = {}
        self.database_url = "" if cluster is None else cluster.make_database()
        if cluster is not None:
            self.environment |= {"AGENT_DATABASE_URL": self.database_url, "AGENT_MASTER_KEY": KEY}
        if not why_no_small_disks():
            places = {"server": self.data} | {name: self.state(name) for name in AGENTS}
            for name, place in places.items():
                self.disks[name] = stack.enter_context(small_disk(place, _DISK_BYTES))
        self.clocks = {name: JumpingClock(self.folder / f"clock-{name}") for name in ("server", *AGENTS)}
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.jobs_line = stack.enter_context(chaos_line(port))  # by which jobs upload
        self.lines = {name: stack.enter_context(chaos_line(port)) for name in AGENTS}
        self.environment["AGENT_PUBLIC_URL"] = self.jobs_line.url
        self.start_server()
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        self.client = stack.enter_context(
            httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=30)
        )
        for name in AGENTS:
            self.register(name, "--max-jobs", str(JOBS_AT_A_TIME), url=self.lines[name].url)
            self.start_daemon(name)

    @property
    def begun(self) -> Path:
        """Where jobs note that they begin."""
        return self.folder / "begun"

    @property
    def without(self) -> frozenset[Kind]:
        """What can't happen here."""
        return (frozenset() if self.disks else DISK_KINDS) | (
            frozenset() if self.cluster else {Kind.CRASH_DATABASE}
        )

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """An answer of the server's, whenever it gives one."""

        def answer() -> httpx.Response | None:
            with suppress(httpx.TransportError):
                found = self.client.request(method, path, **more)
                return found if found.status_code < 500 else None
            return None

        return wait_for(answer, f"an answer to {path}")

    def _start(self, name: str, *words: str, environment: Mapping[str, str] | None = None) -> None:
        super()._start(name, *words, environment={**(environment or {}), **self.clocks[name].environment})

    def start_again(self) -> None:
        """Start the server; whether it comes up is seen by whoever asks it something."""
        self._start(
            "server", "server", "--listen", self.url.removeprefix("http://"), "--data", str(self.data)
        )

    def start_daemon(self, name: str) -> None:
        """Start an agent, and don't wait for it."""
        self._start(name, "start", environment={"AGENT_STATE": str(self.state(name))})

    def job_folders(self) -> list[JobFolder]:
        """Those of all agents."""
        return [folder for name in AGENTS for folder in list_job_folders(self.state(name) / "jobs")]

    def work_done(self) -> int:
        """How many bytes have come into journals and over lines."""
        for folder in self.job_folders():
            with suppress(OSError):
                self._carried[folder] = folder.journal.stat().st_size
        lines = (self.jobs_line, *self.lines.values())
        return sum(self._carried.values()) + sum(line.carried_bytes for line in lines)

    def wait_for_work(self, more_bytes: int) -> None:
        """Until so much more work is done, or none is left that would go on."""
        start = last = self.work_done()
        changed = time.monotonic()
        while last < start + more_bytes and time.monotonic() < changed + _STILL_SECONDS:
            time.sleep(_LOOK_SECONDS)
            if (now := self.work_done()) != last:
                last, changed = now, time.monotonic()

    def suffer(self, fault: Fault) -> bool:
        """Let it happen, hold, and end. False when there was nobody whom it could happen to."""
        self.wait_for_work(fault.after_bytes)
        mend = self._begin(fault)
        if mend is None:
            return False
        self.wait_for_work(fault.holds_bytes)
        mend()
        return True

    def _begin(self, fault: Fault) -> Callable[[], None] | None:
        match fault.kind:
            case Kind.KILL_SERVER | Kind.KILL_DAEMON | Kind.KILL_BOTH:
                return self._kill_processes(fault)
            case Kind.STOP_SERVER | Kind.STOP_DAEMON:
                return self._end_processes(
                    ["server" if fault.kind is Kind.STOP_SERVER else fault.agent], self._stop
                )
            case Kind.KILL_SUPERVISOR:
                return self._kill_supervisor(fault)
            case Kind.CRASH_DATABASE:
                return self._crash_database()
            case Kind.FULL_AGENT | Kind.FULL_SERVER:
                return self._fill_disk("server" if fault.kind is Kind.FULL_SERVER else fault.agent)
            case Kind.JUMP_AGENT | Kind.JUMP_SERVER:
                return self._jump(fault)
            case _:
                return self._spoil_line(fault)

    def _kill_processes(self, fault: Fault) -> Callable[[], None]:
        victims = {
            Kind.KILL_SERVER: ["server"],
            Kind.KILL_DAEMON: [fault.agent],
            Kind.KILL_BOTH: ["server", fault.agent],
        }
        return self._end_processes(victims[fault.kind], self.kill)

    def _end_processes(self, names: list[str], end: Callable[[str], None]) -> Callable[[], None]:
        for name in names:
            early = self.processes[name].poll()
            assert early is None, f"{name} had ended by itself, with {early}: {self.log_of(name)[-2000:]}"
        for name in names:
            end(name)

        def mend() -> None:
            for name in names:
                self.start_again() if name == "server" else self.start_daemon(name)

        return mend

    def _stop(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGTERM)
        try:
            code = self.processes[name].wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} does not end at SIGTERM") from None
        assert code in (0, -signal.SIGTERM), f"{name} ended with {code}: {self.log_of(name)[-2000:]}"

    def _kill_supervisor(self, fault: Fault) -> Callable[[], None] | None:
        """One of a job's that runs, best on the agent that was drawn; it is stopped first, so that what it has written is known."""
        folders = sorted(
            self.job_folders(), key=lambda folder: not folder.path.is_relative_to(self.state(fault.agent))
        )
        for folder in folders:
            for pid in find_supervisors(folder):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSTOP)
                    wait_for(lambda pid=pid: state_of(pid) in "TZX", "the supervisor to stop")
                    self.record.killed[folder.job] = _read_journal(folder)
                    os.kill(pid, signal.SIGKILL)
                    return _nothing
        return None

    def _crash_database(self) -> Callable[[], None]:
        assert self.cluster is not None
        self.cluster.stop()
        return self.cluster.start

    def _fill_disk(self, name: str) -> Callable[[], None]:
        start = time.time()
        self.disks[name].fill()

        def mend() -> None:
            self.disks[name].relieve()
            self.record.cramped.append((name, start, time.time()))

        return mend

    def _jump(self, fault: Fault) -> Callable[[], None]:
        clock = self.clocks["server" if fault.kind is Kind.JUMP_SERVER else fault.agent]
        clock.jump(fault.seconds)
        return partial(clock.jump, 0)

    def _spoil_line(self, fault: Fault) -> Callable[[], None]:
        """What happens to an agent's line happens to that of the jobs too."""
        lines: list[ChaosLine] = [self.lines[fault.agent], self.jobs_line]
        for line in lines:
            match fault.kind:
                case Kind.CUT:
                    line.cut_after(fault.holds_bytes // 7)
                case Kind.HALF_OPEN:
                    line.leave_half_open()
                case _:
                    line.set_weather(_WEATHER[fault.kind])

        def mend() -> None:
            for line in lines:
                line.mend()

        return mend


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`. Fails, naming `what`, when none comes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(_LOOK_SECONDS)
    raise AssertionError(f"this did not come: {what}")


def query_store(data: Path, database_url: str, statement: str) -> list[tuple[Any, ...]]:
    """Rows of a server's store: of the SQLite file in its data folder, or of PostgreSQL where there is a URL."""
    if database_url:
        return run_statement(database_url, statement)
    with closing(sqlite3.connect(f"file:{data}/flow.db?mode=ro", uri=True)) as connection:
        return list(connection.execute(statement))


@contextmanager
def make_world(folder: Path, cluster: Cluster | None) -> Iterator[World]:
    """A world in `folder`, on SQLite or on `cluster`; whatever is left of it at the end is ended."""
    with ExitStack() as stack:
        world = World(folder)
        # The processes end before the disks and lines that they use.
        disks_and_lines = stack.enter_context(ExitStack())
        stack.enter_context(world)
        world.begin(disks_and_lines, cluster)
        yield world


def _read_journal(folder: JobFolder) -> Killed:
    records = [record for _, record in JournalReader(folder.journal)]
    log = b"".join(record.data for record in records if isinstance(record, Log))
    return Killed(log, any(isinstance(record, Closed) for record in records))


def state_of(pid: int) -> str:
    """What a process does, as Linux says it in a letter; X where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _nothing() -> None:
    """There is nothing to mend."""
