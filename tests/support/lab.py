"""A lab of one's own: a real server, real agents and the real command, as processes, in a temporary folder."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

PATIENCE_SECONDS = float(os.environ.get("AGENT_TEST_PATIENCE", "60"))
_TOKEN = re.compile(r"\bfa_([a-z]+)_[0-9A-Za-z]{43}\b")


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Its standard output, as one JSON document."""
        return json.loads(self.out)

    def records(self) -> list[dict[str, Any]]:
        """Its standard output, as one JSON record a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def run_agent(
    *words: str | Path, given: str = "", cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> Done:
    """Run the `agent` command to its end."""
    done = subprocess.run(
        command_line(*words),
        input=given,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def command_line(*words: str | Path) -> list[str]:
    """The `agent` command as a list."""
    return [sys.executable, "-P", "-m", "agent", *map(str, words)]


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`. Fails, naming `what`, when none comes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"this did not come: {what}")


@dataclass
class Lab:
    """One server and its agents. Use as a context manager: what still runs at the end is killed."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    url: str = ""
    admin_token: str = ""
    registration_token: str = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for state in self.folder.glob("agent-*"):
            self._kill_supervisors(state)
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    @property
    def data(self) -> Path:
        """The server's data folder."""
        return self.folder / "data"

    @property
    def server_log(self) -> Path:
        """What the server printed, over all its starts."""
        return self.folder / "server.log"

    def start_server(self, *options: str) -> None:
        """Start the server; after the first time on the port and with the data that it had."""
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        address = self.data / "address"
        address.unlink(missing_ok=True)
        self._start("server", "server", "--listen", listen, "--data", str(self.data), *options)
        wait_for(lambda: address.exists() and address.read_text().strip(), "the server's address")
        self.url = address.read_text().strip()
        if not self.admin_token:
            found = wait_for(
                lambda: len(f := _TOKEN.findall(self.server_log.read_text())) > 1 and f, "two tokens"
            )
            assert set(found) == {"api", "reg"}
            tokens = {match[1]: match[0] for match in _TOKEN.finditer(self.server_log.read_text())}
            self.admin_token, self.registration_token = tokens["api"], tokens["reg"]
            self.environment |= {"AGENT_URL": self.url, "AGENT_TOKEN": self.admin_token}

    def register(
        self, name: str, *options: str, url: str = "", environment: Mapping[str, str] | None = None
    ) -> None:
        """Register an agent with a token of its own."""
        made = self.agent("server", "token", "create", "--data", self.data)
        assert made.code == 0, made.err
        done = self.agent(
            *("register", "--url", url or self.url, "--name", name, *options),
            environment={
                **(environment or {}),
                "AGENT_STATE": str(self.state(name)),
                "AGENT_REGISTRATION_TOKEN": made.out.strip(),
            },
        )
        assert done.code == 0, done.err

    def start_agent(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a registered agent and wait until the server sees it."""
        self._start(name, "start", environment={"AGENT_STATE": str(self.state(name)), **(environment or {})})
        wait_for(lambda: self.agent_view(name)["status"] == "online", f"agent {name} online")

    def add_agent(self, name: str, *options: str, environment: Mapping[str, str] | None = None) -> None:
        """Register and start."""
        self.register(name, *options, environment=environment)
        self.start_agent(name, environment)

    def state(self, name: str) -> Path:
        """An agent's state folder."""
        return self.folder / f"agent-{name}"

    def kill(self, name: str) -> None:
        """SIGKILL: no last words."""
        self.processes[name].kill()
        self.processes[name].wait()

    def kill_supervisors(self, name: str) -> None:
        """SIGKILL for the jobs of an agent, which itself goes on."""
        self._kill_supervisors(self.state(name))

    def stop(self, name: str, number: int = signal.SIGTERM) -> int:
        """A polite end; gives the exit code."""
        self.processes[name].send_signal(number)
        return self.processes[name].wait(PATIENCE_SECONDS)

    def log_of(self, name: str) -> str:
        """What a process printed so far."""
        return (self.folder / f"{name}.log").read_text()

    def agent(
        self, *words: str | Path, given: str = "", environment: Mapping[str, str] | None = None
    ) -> Done:
        """Run the command as this lab's user."""
        return run_agent(*words, given=given, environment={**self.environment, **(environment or {})})

    @contextmanager
    def beside(self, *words: str | Path) -> Iterator[subprocess.Popen[str]]:
        """The command beside the test, its standard output to be read; killed at the end."""
        process = subprocess.Popen(
            command_line(*words),
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def get(self, *words: str | Path) -> Any:
        """The JSON that a command prints."""
        done = self.agent(*words, "--format", "json")
        assert done.code == 0, done.err
        return done.json()

    def agent_view(self, name: str) -> dict[str, Any]:
        """What the server says about an agent."""
        import httpx

        headers = {"Authorization": f"Bearer {self.admin_token}"}
        agents = httpx.get(f"{self.url}/api/v1/agents", headers=headers).json()["agents"]
        (view,) = (view for view in agents if view["name"] == name)
        return dict(view)

    def write_flow(self, jobs: str, name: str = "flow") -> Path:
        """A flow file whose jobs are the YAML in `jobs`."""
        file = self.folder / f"{name}.yml"
        file.write_text(f"name: {name}\non: workflow_dispatch\njobs:\n{jobs}")
        return file

    def submit(self, flow: Path, *options: str) -> int:
        """Submit, and give the run's number."""
        return int(self.get("flow", "submit", flow, *(options or ("--source", "none")))["run"])

    def run(self, run: int) -> dict[str, Any]:
        """The server's view of a run."""
        return dict(self.get("run", "show", str(run)))

    def wait_for_run(self, run: int, state: str = "completed") -> dict[str, Any]:
        """The run, once it has the status."""
        return dict(
            wait_for(lambda: (view := self.run(run))["status"] == state and view, f"run {run} {state}")
        )

    def lines(self, run: int, job: str) -> list[str]:
        """The lines of a job's log."""
        done = self.agent("run", "logs", str(run), "--job", job, "--format", "json")
        assert done.code == 0, done.err
        return [record["text"] for record in done.records() if record["kind"] == "log"]

    def _start(self, name: str, *words: str, environment: Mapping[str, str] | None = None) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command_line(*words),
                env={**os.environ, **self.environment, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _kill_supervisors(self, state: Path) -> None:
        """A test that failed in the middle leaves no job behind."""
        from agent.job.launch.launcher import is_running, list_job_folders

        for folder in list_job_folders(state / "jobs"):
            if is_running(folder):
                for pid in supervisor_pids(folder.path):
                    with suppress(ProcessLookupError):  # it has ended meanwhile
                        os.kill(pid, signal.SIGKILL)


def supervisor_pids(folder: Path) -> list[int]:
    """The processes that hold the job folder's lock open: its supervisor."""
    pids = []
    for links in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(link.readlink() == folder / "lock" for link in links.iterdir()):
                pids.append(int(links.parent.name))
        except OSError:  # it ended, or is not ours to look at
            continue
    return pids


@contextmanager
def make_lab(folder: Path) -> Iterator[Lab]:
    """A lab with its server started."""
    with Lab(folder) as lab:
        lab.start_server()
        yield lab
