"""Actions are run as a job runs them: as a process of the isolated interpreter, with inputs in the environment."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.results_service import ResultsService, serve_results

ACTIONS = Path(__file__).parents[2] / "actions"
sys.path.insert(0, str(ACTIONS))  # as each main.py does, for the tests of `_toolkit` itself


@dataclass(frozen=True)
class Done:
    """How an action ended."""

    code: int
    log: str
    outputs: dict[str, str]

    @property
    def error(self) -> str:
        """The error that it ended with."""
        found = re.search(r"^::error::(.*)$", self.log, re.MULTILINE)
        assert found, self.log
        return found[1]


class Step:
    """Runs actions in one workspace."""

    def __init__(self, folder: Path, service: ResultsService | None) -> None:
        self.workspace = folder / "workspace"
        self.workspace.mkdir(parents=True)
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "GIT_CONFIG_NOSYSTEM": "1",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_OUTPUT": str(folder / "output"),
        }
        if service:
            self.environment |= {
                "ACTIONS_RESULTS_URL": service.url + "/",
                "ACTIONS_RUNTIME_TOKEN": service.token,
            }

    def run(self, action: str, **inputs: object) -> Done:
        """Run `action`; an input's `_` stands for `-`, `source` is the run's source."""
        environment = dict(self.environment)
        if "source" in inputs:
            environment["FLOW_SOURCE"] = json.dumps(inputs.pop("source"))
        for name, value in inputs.items():
            environment[f"INPUT_{name.replace('_', '-').upper()}"] = str(value)
        output = self.folder / "output"
        output.write_text("")
        done = subprocess.run(
            [sys.executable, "-I", ACTIONS / action / "main.py"],
            cwd=self.workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            text=True,
            timeout=100,
        )
        assert "Traceback" not in done.stdout, done.stdout
        pairs = re.findall(r"^(.+)<<(end_\w+)\n(.*)\n\2$", output.read_text(), re.MULTILINE)
        return Done(done.returncode, done.stdout, {name: value for name, _, value in pairs})

    def write(self, **files: str | bytes) -> None:
        """Write files into the workspace; in a name `__` stands for `/` and a last `_` for a `.`."""
        for name, content in files.items():
            self.put(name.replace("__", "/").replace("_", "."), content)

    def put(self, name: str, content: str | bytes = "x") -> Path:
        """Write one file into the workspace."""
        path = self.workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def tree(self, folder: str = ".") -> dict[str, str]:
        """All files below a folder of the workspace, with their contents."""
        root = self.workspace / folder
        return {
            path.relative_to(root).as_posix(): path.read_text()
            for path in sorted(root.rglob("*"))
            if path.is_file() and ".git" not in path.relative_to(root).parts
        }


@pytest.fixture
def service() -> Iterator[ResultsService]:
    with serve_results() as service:
        yield service


@pytest.fixture
def step(tmp_path: Path, service: ResultsService) -> Step:
    """A step of a job that a server has given."""
    return Step(tmp_path / "job", service)


@pytest.fixture
def local_step(tmp_path: Path) -> Step:
    """A step of a local run: no server, a folder for artifacts."""
    step = Step(tmp_path / "local", None)
    step.environment["FLOW_ARTIFACTS"] = str(tmp_path / "artifacts")
    return step
