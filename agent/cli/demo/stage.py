"""The demo's stage: the processes and folders that it plays on, each made by the command that a user would type."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.cli.client import Client
from agent.config import bundled
from agent.errors import AgentError
from agent.trees import remove_tree

SECRET = "iris-4d8f-Xq9-provider-key"  # noqa: S105 - it is here to be looked for, and not found, everywhere else
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.02
_TOKEN = re.compile(r"\bfa_[a-z]+_[0-9A-Za-z]{43}\b")


class DemoWorld:
    """A server and an agent in one temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "server"
        self.agent_state = folder / "agent"
        self.project = folder / "project"
        self.discard = io.StringIO()
        self.keeps_folder = False
        self._processes: list[subprocess.Popen[bytes]] = []
        self.token = ""
        self._url = ""

    def start_server(self) -> None:
        """Start it on a free port and wait until it answers; take the two tokens that a first start prints."""
        log = self._start("server", "server", "--listen", "127.0.0.1:0", "--data", str(self.data))
        address = self.data / "address"
        self._wait_for(
            lambda: address.exists() and len(_TOKEN.findall(log.read_text())) > 1, "the server", log
        )
        self._url = address.read_text().strip()
        tokens = {token.split("_")[1]: token for token in _TOKEN.findall(log.read_text())}
        self._registration_token = tokens.pop("reg")
        (self.token,) = tokens.values()

    def register_agent(self, *options: str) -> None:
        """Register this machine; the token goes through the environment, so that no process list shows it."""
        self._run(
            "register",
            "--url",
            self._url,
            "--name",
            "demo-box",
            *options,
            AGENT_REGISTRATION_TOKEN=self._registration_token,
        )

    def start_agent(self) -> None:
        """Start the daemon and wait until the server has it."""
        log = self._start("agent", "start")
        self._wait_for(
            lambda: self.client().get("/api/v1/agents")["agents"][0]["status"] == "online", "the agent", log
        )

    def describe_machine(self) -> str:
        """The inventory that the agent registered with, in one line."""
        (agent,) = self.client().get("/api/v1/agents")["agents"]
        inventory = agent["inventory"]
        gpus = ", ".join(gpu["name"] for gpu in inventory["gpus"]) or "no GPU"
        memory = inventory["memory_bytes"] / (1 << 30)
        return f"{inventory['cpu_count']} CPUs, {memory:.0f} GiB, {gpus}; labels {', '.join(agent['labels'])}"

    def publish_action(self) -> None:
        """A git repository `acme/split-data` with the tag v1."""
        self._repository("git/acme/split-data", bundled("examples") / "actions" / "split-data", tag="v1")

    def make_project(self) -> Path:
        """A git work tree with the example, one line of it not committed; gives the flow's path."""
        examples = bundled("examples")
        shutil.copytree(examples / "iris", self.folder / "seed" / "iris")
        shutil.copy(examples / "train-iris.yml", self.folder / "seed")
        self._repository("project", self.folder / "seed")
        (self.project / "NOTES.md").write_text("Not committed, and part of the snapshot all the same.\n")
        return self.project / "train-iris.yml"

    def store_secret(self) -> None:
        """Through standard input: no secret is ever an argument."""
        self._run("secret", "set", "DATA_KEY", given=SECRET)

    def client(self) -> Client:
        """The server's API."""
        return Client(self._url, self.token)

    def settings(self) -> Mapping[str, str]:
        """What a terminal has to export to explore the stage."""
        return {"AGENT_URL": self._url, "AGENT_TOKEN": self.token, "AGENT_STATE": str(self.agent_state)}

    def process_ids(self) -> list[int]:
        """The server's and the agent's."""
        return [process.pid for process in self._processes]

    def strike(self) -> None:
        """Stop what runs, last started first, and remove the folder unless its logs are worth a look."""
        for process in reversed(self._processes):
            process.terminate()
            process.wait()
        if not self.keeps_folder:
            remove_tree(self.folder)

    def _start(self, name: str, *arguments: str) -> Path:
        log = self.folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                _command(arguments), env=self._environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self._processes.append(process)
        return log

    def _run(self, *arguments: str, given: str = "", **more: str) -> None:
        environment = {**self._environment(), **more}
        done = subprocess.run(
            _command(arguments), env=environment, input=given.encode(), capture_output=True, check=False
        )
        if done.returncode != 0:
            raise AgentError(f"`agent {' '.join(arguments)}` failed: {os.fsdecode(done.stderr).strip()}")

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AGENT_")}
        actions = f"{(self.folder / 'git').as_uri()}/{{owner}}/{{repo}}"
        return {
            **kept,
            **self.settings(),
            "AGENT_ACTIONS_URL": actions,
            "AGENT_CONFIG": str(self.folder / "config.toml"),
        }

    def _wait_for(self, is_there: object, what: str, log: Path) -> None:
        assert callable(is_there)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not is_there():
            if self._processes[-1].poll() is not None or time.monotonic() > deadline:
                last = log.read_text().strip().rpartition("\n")[2]
                raise AgentError(f"{what} did not start: {last}", where=str(log))
            time.sleep(_POLL_SECONDS)

    def _repository(self, name: str, files: Path, tag: str | None = None) -> None:
        repository = self.folder / name
        shutil.copytree(files, repository)
        commands: list[Sequence[str]] = [
            ("init", "--quiet", "--initial-branch=main"),
            ("add", "--all"),
            ("commit", "--quiet", "--message", "First version"),
        ]
        if tag:
            commands.append(("tag", tag))
        identity = (
            "-c",
            "user.name=Demo",
            "-c",
            "user.email=demo@example.invalid",
            "-c",
            "commit.gpgsign=false",
        )
        for command in commands:
            subprocess.run(["git", *identity, *command], cwd=repository, check=True, capture_output=True)


def _command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-P", "-m", "agent", *arguments]
