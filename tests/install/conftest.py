"""A small stand-in for the package, so that the installer is tried without the network and seen from within.

Its `agent` command writes down how it was called. `FAKE_AGENT_FAILS` names a command that is to fail.
"""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json, os, sys

def main():
    command = sys.argv[1]
    if command == os.environ.get("FAKE_AGENT_FAILS") or (command == "--version" and VERSION == "broken"):
        print("agent: it failed; so it is", file=sys.stderr)
        return 1
    print(f"agent {VERSION}")
    with open(os.path.join(os.environ["HOME"], "calls"), "a") as calls:
        record = {"argv": sys.argv[1:], "token": os.environ.get("AGENT_REGISTRATION_TOKEN")}
        calls.write(json.dumps(record) + "\\n")
    return 0
"""


def make_wheel(folder: Path, version: str) -> Path:
    """A wheel of the stand-in; the version `broken` does not start."""
    number = "0.0" if version == "broken" else version
    info = f"gpu_flow_agent-{number}.dist-info"
    files = {
        "agent/__init__.py": f"VERSION = {version!r}\n{PROGRAM}",
        "agent/_bundled/install/requirements/agent.txt": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: gpu-flow-agent\nVersion: {number}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nagent = agent:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    wheel = folder / f"gpu_flow_agent-{number}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(name, text)
    return wheel


@dataclass(frozen=True)
class Box:
    """A machine's user, with a home folder of their own, who installs."""

    home: Path
    wheels: Path

    @property
    def prefix(self) -> Path:
        return self.home / ".local/share/flow-agent"

    @property
    def command(self) -> Path:
        return self.home / ".local/bin/agent"

    @property
    def calls(self) -> list[dict]:
        """What the stand-in was called with, without `--version`."""
        file = self.home / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [call for call in map(json.loads, lines) if call["argv"] != ["--version"]]

    def run(self, script: str, *arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        scoped = ["--user", *map(str, arguments)]
        return run_script(ROOT / "install" / script, scoped, {"HOME": str(self.home), **env})

    def install(self, *arguments: str, version: str = "1.0", **env: str) -> subprocess.CompletedProcess[str]:
        wheel = make_wheel(self.wheels, version)
        fixed = ["--no-service", "--python", sys.executable, "--pip-args", "--no-deps --no-index"]
        return self.run("install.sh", *fixed, "--package", wheel, *arguments, **env)

    def list_versions(self) -> list[Path]:
        return sorted((self.prefix / "versions").iterdir())


def run_script(script: Path, arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "LC_ALL": "C", **env}
    return subprocess.run(
        ["sh", script, *arguments], env=clean, capture_output=True, text=True, timeout=110, check=False
    )


@pytest.fixture
def box(tmp_path: Path) -> Box:
    for name in ("home", "wheels"):
        (tmp_path / name).mkdir()
    return Box(tmp_path / "home", tmp_path / "wheels")
