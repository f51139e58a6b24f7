"""GitHub's own clients (`@actions/artifact`, `@actions/cache`, `@actions/core`), from npm, driven as published actions drive them."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_SOURCE = Path(__file__).parent / "toolkit_clients"
_SECONDS = 1800


@cache
def install_clients() -> Path:
    """A folder with the clients and `drive.mjs`: one for all test processes of this machine's user, made once."""
    if not shutil.which("npm") or not shutil.which("node"):
        _do_without("node and npm are not on this machine")
    said = (_SOURCE / "package.json").read_bytes() + (_SOURCE / "drive.mjs").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"flow-toolkit-clients-{os.getuid()}-{_digest(said)}"
    folder.mkdir(mode=0o700, exist_ok=True)
    assert folder.stat().st_uid == os.getuid()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            for name in ("package.json", "drive.mjs"):
                shutil.copy(_SOURCE / name, folder)
            words = [
                "npm",
                "install",
                "--no-audit",
                "--no-fund",
                "--silent",
                "--cache",
                str(folder / "cache"),
            ]
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
            if done.returncode:
                _do_without(f"npm can't install the clients: {done.stderr[-500:]}")
            shutil.rmtree(folder / "cache")
            (folder / "installed").touch()
    return folder


def drive(
    *steps: list[Any], environment: Mapping[str, str], cwd: Path, expects_errors: bool = False
) -> list[Any]:
    """What the clients answer to each of [what, arguments...]; an error's text is one, where those are expected."""
    done = start_driving(*steps, environment=environment, cwd=cwd)
    out, err = done.communicate(timeout=_SECONDS)
    answers = read_answers(out)
    assert len(answers) == len(steps), out + err
    if not expects_errors:
        assert not any("error" in answer for answer in answers), out + err
    return [answer.get("value", answer.get("error")) for answer in answers]


def start_driving(*steps: list[Any], environment: Mapping[str, str], cwd: Path) -> "subprocess.Popen[str]":
    """The process that drives them."""
    return subprocess.Popen(
        ["node", install_clients() / "drive.mjs"],
        cwd=cwd,
        env={"PATH": os.environ["PATH"], **environment, "DRIVE": json.dumps(steps)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_answers(out: str) -> list[dict[str, Any]]:
    """The answers in what was printed."""
    return [json.loads(line[2:]) for line in out.splitlines() if line.startswith("> ")]


def write_action(folder: Path) -> Path:
    """An action in `folder` that drives the clients with its input `drive`."""
    folder.mkdir(parents=True)
    (folder / "action.yml").write_text(
        "name: drive\ninputs: {drive: {required: true}}\nruns: {using: node20, main: main.mjs}\n"
    )
    (folder / "main.mjs").write_text(f"await import({json.dumps(str(install_clients() / 'drive.mjs'))});\n")
    return folder


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()[:16]


def _do_without(reason: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
