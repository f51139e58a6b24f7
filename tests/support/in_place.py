"""A folder of somebody's own that local runs work in (`--in-place`), and a host of repositories and actions."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from support.git import Repository, make_repository
from support.lab import Done, command_line, run_agent

INPUTS = "{repository: {default: '${{ github.repository }}'}, ref: {}, path: {}, clean: {default: true}}"
# Does what actions/checkout does: what is in the folder goes, by git or by hand; then the repository comes.
CHECK_OUT = """
import os, pathlib, shutil, subprocess, sys
here = pathlib.Path(os.environ["GITHUB_WORKSPACE"], os.environ.get("INPUT_PATH", ""))
here.mkdir(parents=True, exist_ok=True)
url = os.environ["HOSTED"] + "/" + os.environ["INPUT_REPOSITORY"]
def git(*words):
    return subprocess.run(["git", "-C", here, *words]).returncode
asked = subprocess.run(["git", "-C", here, "config", "remote.origin.url"], capture_output=True, text=True).stdout
if not (here / ".git").is_dir() or asked.strip() != url or git("clean", "-ffdx") or git("reset", "--hard", "HEAD"):
    for entry in here.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    git("init", "--quiet")
    git("remote", "add", "origin", url)
sys.exit(git("fetch", "--quiet", "origin", "main") or git("checkout", "--quiet", "--force", "-B", "main", "origin/main"))
"""
FORK = f"name: get\ninputs: {INPUTS}\nruns: {{using: python, main: main.py, post: post.py}}\n"


class Place:
    """The user's clone of `me/model`, with work in it that is nowhere else, and a host of repositories and actions."""

    def __init__(self, folder: Path) -> None:
        self.hosted = folder / "hosted"
        make_repository(self.hosted / "me" / "model", {"a.txt": "one\n", ".gitignore": "*.log\n"})
        make_repository(self.hosted / "acme" / "data", {"rows.csv": "1\n", ".gitignore": "cache\n"})
        self.add_action("acme/get", FORK, **{"main.py": CHECK_OUT, "post.py": "print('tidied up')"})
        self.folder = folder / "model"
        make_repository(self.folder, {"unused": ""})
        self.repository = Repository(self.folder)
        self.repository.git("remote", "add", "origin", f"{self.hosted.as_uri()}/me/model")
        self.repository.git("fetch", "--quiet", "origin")
        self.repository.git("reset", "--quiet", "--hard", "origin/main")
        self.mine = {"a.txt": "one\nedited\n", "notes.txt": "mine\n", "train.log": "hours\n"}
        self.mine |= {"runs/1/weights": "days\n"}
        for name, text in self.mine.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)

    def add_action(self, name: str, manifest: str, **files: str) -> None:
        make_repository(self.hosted / name, {"action.yml": manifest, **files})

    def run(self, steps: str, *options: str, flag: str = "--in-place") -> Done:
        words = self._words(steps, flag, *options)
        return run_agent(*words, cwd=self.folder, environment=self._environment)

    def start(
        self, steps: str, flag: str = "--in-place", stdout: int = subprocess.DEVNULL
    ) -> "subprocess.Popen[bytes]":
        """Start a run, and don't wait for it."""
        return subprocess.Popen(
            command_line(*self._words(steps, flag)),
            cwd=self.folder,
            env={**os.environ, **self._environment},
            stdout=stdout,
        )

    @property
    def _environment(self) -> Mapping[str, str]:
        return {"AGENT_STATE": str(self.folder.parent / "state")}

    def _words(self, steps: str, flag: str, *options: str) -> tuple[str | Path, ...]:
        """The command that runs `steps`; each has a file of its own: two may run side by side."""
        file = self.folder.parent / f"flow-{len(list(self.folder.parent.glob('flow-*')))}.yml"
        file.write_text(f"on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n{steps}")
        words = ("--format", "json", "--actions-url", f"{self.hosted.as_uri()}/{{owner}}/{{repo}}")
        return (
            "flow",
            "run",
            file,
            *filter(None, [flag]),
            "--env",
            f"HOSTED={self.hosted.as_uri()}",
            *words,
            *options,
        )

    def kept(self) -> dict[str, str]:
        """Of the user's own work, what is there."""
        files = {name: self.folder / name for name in self.mine}
        return {name: file.read_text() for name, file in files.items() if file.exists()}


def message(done: Done) -> str:
    (job,) = (record for record in done.records() if record["kind"] == "job")
    return str(job.get("message", ""))


def texts(done: Done) -> str:
    return "\n".join(record["text"] for record in done.records() if record["kind"] == "log")


def kill_all(run: "subprocess.Popen[bytes]") -> None:
    """What a power loss does to a run: nobody has a last word."""
    family = [psutil.Process(run.pid), *psutil.Process(run.pid).children(recursive=True)]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for process in family:
            process.send_signal(number)
    run.wait()
    psutil.wait_procs(family)
