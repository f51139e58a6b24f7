"""Actions are run as a job runs them: as a process of the isolated interpreter, with inputs in the environment."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ACTIONS = Path(__file__).parents[2] / "actions"


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

    def __init__(self, folder: Path, url: str = "", token: str = "") -> None:
        """`url` and `token` are of the service for artifacts; without one it is a local run's."""
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
        if url:
            self.environment |= {"ACTIONS_RESULTS_URL": f"{url}/", "ACTIONS_RUNTIME_TOKEN": token}

    def run(self, action: str, **inputs: object) -> Done:
        """Run `action`; an input's `_` stands for `-`, `source` is the run's source."""
        return self.wait(self.start(action, **inputs))

    def start(self, action: str, **inputs: object) -> "subprocess.Popen[str]":
        """Start `action`, as `run` does."""
        environment = dict(self.environment)
        if "source" in inputs:
            environment["FLOW_SOURCE"] = json.dumps(inputs.pop("source"))
        for name, value in inputs.items():
            environment[f"INPUT_{name.replace('_', '-').upper()}"] = str(value)
        (self.folder / "output").write_text("")
        return subprocess.Popen(
            [sys.executable, "-I", ACTIONS / action / "main.py"],
            cwd=self.workspace,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self, process: "subprocess.Popen[str]") -> Done:
        """How the action that was started has ended."""
        said, _ = process.communicate(timeout=100)
        assert "Traceback" not in said, said
        output = (self.folder / "output").read_text()
        pairs = re.findall(r"^(.+)<<(end_\w+)\n(.*)\n\2$", output, re.MULTILINE)
        return Done(process.returncode, said, {name: value for name, _, value in pairs})

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
