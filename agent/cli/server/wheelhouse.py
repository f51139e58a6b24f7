"""`agent server wheelhouse`: fetch what agents need, for machines that reach no package index."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.cli.arguments import add_command
from agent.config import bundled
from agent.errors import AgentError, UsageError

_PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_MACHINES = ("x86_64", "aarch64")
_GLIBC = 28  # wheels for glibc 2.28 and older: Debian 10, RHEL 8 and all since
_SHOWN_CHARACTERS = 800


def configure(nouns: Any, add_data: Callable[[argparse.ArgumentParser], None]) -> None:
    """Declare the command."""
    parser = add_command(
        nouns,
        "wheelhouse",
        _fill,
        "Fetch the packages that agents need, by their digests, for machines without a package index. The server hands"
        " them out, and its installer takes them from there. Needs an index itself: else run it elsewhere with --to, and"
        " copy the folder to DATA/wheelhouse of each server.",
        "agent server wheelhouse --python 3.11 --python 3.12",
    )
    parser.add_argument(
        "--python", action="append", metavar="X.Y", help=f"for these Pythons (default: {', '.join(_PYTHONS)})"
    )
    parser.add_argument(
        "--machine",
        action="append",
        choices=_MACHINES,
        help="for these processors (default: this machine's)",
    )
    parser.add_argument("--to", type=Path, metavar="DIR", help="another folder than DATA/wheelhouse")
    add_data(parser)


def _fill(arguments: argparse.Namespace) -> int:
    from agent.config import load_settings

    pythons = arguments.python or list(_PYTHONS)
    machines = arguments.machine or [os.uname().machine]
    for python in pythons:
        if python not in _PYTHONS:
            raise UsageError(
                f"'{python}' is no Python that agents run on", hint=f"known: {', '.join(_PYTHONS)}"
            )
    data = load_settings({"data": getattr(arguments, "data", None)}).data_folder.absolute()
    if arguments.to is None and not data.is_dir():
        raise AgentError(
            "there is no server's data folder", where=str(data), hint="name it with --data, or --to DIR"
        )
    house = (arguments.to or data / "wheelhouse").absolute()
    house.mkdir(mode=0o755, parents=True, exist_ok=True)
    for python in pythons:
        for machine in machines:
            print(f"Python {python} on {machine}", file=sys.stderr)
            _fetch(house, python, machine)
    count = sum(1 for file in house.iterdir() if file.suffix == ".whl")
    if arguments.format == "json":
        print(json.dumps({"folder": str(house), "wheels": count}))
    else:
        print(f"{count} wheels in {house}")
    return 0


def _fetch(house: Path, python: str, machine: str) -> None:
    """All wheels for one kind of machine: fetched whole, then moved into the house. Raises AgentError."""
    platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(_GLIBC, 4, -1)]
    list_file = bundled("install") / "requirements" / "agent.txt"
    with tempfile.TemporaryDirectory(prefix=".fetching-", dir=house) as fetched:
        command = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "download",
            "--quiet",
            "--no-deps",
        ]
        command += ["--only-binary=:all:", f"--python-version={python}", *platforms, "--require-hashes"]
        command += [f"--requirement={list_file}", f"--dest={fetched}"]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            said = done.stderr.strip()[-_SHOWN_CHARACTERS:]
            raise AgentError(
                f"pip could not fetch them for Python {python} on {machine}: {said}",
                hint="it takes them from the index that pip's own settings name (PIP_INDEX_URL)",
            )
        for wheel in Path(fetched).iterdir():
            wheel.chmod(0o644)
            wheel.replace(house / wheel.name)
