"""Pythons, nodes and uvs that the machine has by itself: each is asked which version it is."""

import glob
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.machine.probes.tools import ask_tool

_ANSWER_SECONDS: Final = 10.0
_LEAST_PYTHON: Final = (3, 5)  # whose module venv brings pip
# Where version managers keep them, below the home folder: pyenv, uv, nvm, fnm, volta, asdf, mise.
_PYTHONS: Final = (
    *(".pyenv/versions/*/bin/python3", ".local/share/uv/python/cpython-*/bin/python3"),
    *(".asdf/installs/python/*/bin/python3", ".local/share/mise/installs/python/*/bin/python3"),
)
_NODES: Final = (
    *(".nvm/versions/node/*/bin/node", ".local/share/fnm/node-versions/*/installation/bin/node"),
    *(".volta/tools/image/node/*/bin/node", ".asdf/installs/nodejs/*/bin/node"),
    ".local/share/mise/installs/node/*/bin/node",
)
_UVS: Final = (".local/bin/uv", ".cargo/bin/uv")
_EVERYWHERE: Final = (
    *("/usr/bin", "/usr/local/bin", "/opt/python/*/bin", "/opt/node*/bin"),
    *("/opt/conda/bin", "/opt/homebrew/bin"),
)
_ASK_PYTHON: Final = (
    "import json, os, sys; v = sys.version_info; names = ['python%d.%d' % v[:2], 'python3', 'python']; "
    "found = [os.path.join(sys.base_prefix, 'bin', name) for name in names]; "
    "print(json.dumps([list(v), ([each for each in found if os.path.isfile(each)] or [sys.executable])[0], sys.implementation.name]))"
)
_LEVELS: Final = {"alpha": "-alpha.{}", "beta": "-beta.{}", "candidate": "-rc.{}", "final": ""}


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """A tool of the machine's own: `python`, `node` or `uv`, its version as SemVer has it, and its program."""

    tool: str
    version: str
    executable: str


def find_offers(tool: str, environment: Mapping[str, str]) -> list[ToolOffer]:
    """What the machine has of a tool, each program once. `environment` has PATH and HOME."""
    offers: dict[str, ToolOffer] = {}
    for candidate in dict.fromkeys(_list_candidates(tool, environment)):
        offer = ask_for_offer(tool, candidate)
        if offer is not None:
            offers.setdefault(os.path.realpath(offer.executable), offer)
    return list(offers.values())


def ask_for_offer(tool: str, executable: str) -> ToolOffer | None:
    """What a program says it is; None for one that is no such tool, or that no setup action could use."""
    arguments = ("-I", "-c", _ASK_PYTHON) if tool == "python" else ("--version",)
    try:
        answer = ask_tool(executable, arguments, _ANSWER_SECONDS)
    except (OSError, TimeoutError):
        return None
    if answer.status:
        return None
    return _read_python(answer.output) if tool == "python" else _read_version(tool, executable, answer.output)


def _read_python(said: str) -> ToolOffer | None:
    """Of an environment it is the Python below: that one stays when the environment goes."""
    try:
        version, executable, implementation = json.loads(said)
        major, minor, micro, level, serial = version
    except (ValueError, TypeError):
        return None
    if implementation != "cpython" or (major, minor) < _LEAST_PYTHON:
        return None
    return ToolOffer("python", f"{major}.{minor}.{micro}" + _LEVELS[level].format(serial), str(executable))


def _read_version(tool: str, executable: str, said: str) -> ToolOffer | None:
    found = re.search(r"\d+\.\d+\.\d+(?:-[\w.]+)?", said)
    return ToolOffer(tool, found[0], os.path.realpath(executable)) if found else None


def _list_candidates(tool: str, environment: Mapping[str, str]) -> Iterator[str]:
    path = environment.get("PATH", os.defpath)
    home = environment.get("HOME", "")
    names = {"python": ["python3", "python", *(f"python3.{minor}" for minor in range(5, 31))], "uv": ["uv"]}
    numbered = [f"node{major}" for major in range(16, 41)]
    for name in names.get(tool, ["node", *numbered]):
        yield from _list_on_path(name, path)
    patterns = {"python": _PYTHONS, "node": _NODES, "uv": _UVS}[tool]
    yield from _expand(os.path.join(glob.escape(home), pattern) for pattern in patterns if home)  # noqa: PTH118
    last = {"python": "python3*", "node": "node", "uv": "uv"}[tool]
    found = _expand(f"{folder}/{last}" for folder in _EVERYWHERE)
    yield from (
        each for each in found if tool != "python" or re.fullmatch(r"python3(\.\d+)?", Path(each).name)
    )


def _list_on_path(name: str, path: str) -> Iterator[str]:
    for folder in path.split(os.pathsep):
        found = shutil.which(name, path=folder) if folder else None
        if found:
            yield found


def _expand(patterns: Iterable[str]) -> Iterator[str]:
    for pattern in patterns:
        yield from sorted(glob.glob(pattern))  # noqa: PTH207 - a pattern with a place in it
