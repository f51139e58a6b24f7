"""The tool cache of a machine (RUNNER_TOOL_CACHE), laid out as `actions/setup-python` and its like look for things there.

    TOOLS/Python/3.11.7/x64/bin/python     a copy of the machine's own Python, or an environment of its system's
    TOOLS/Python/3.11.7/x64.complete       only then does anybody find it
    TOOLS/node/20.1.0/x64/bin/node
    TOOLS/uv/0.9.3/x86_64/uv

Source: actions/toolkit `packages/tool-cache/src/tool-cache.ts` (`find`, `findAllVersions`); setup-uv writes its own words for
the architecture. A tool is made where it stays: the scripts of a Python (pip) hold its own path.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agent.errors import AgentError
from agent.machine.python_copies import copy_python, find_whole_python
from agent.machine.tool_offers import ToolOffer
from agent.trees import remove_tree

FOLDERS: Final = {"python": "Python", "node": "node", "uv": "uv"}  # by our name: the folder of the cache
_MAKE_SECONDS: Final = 300
_MACHINES: Final = {"x86_64": "x64", "aarch64": "arm64", "armv7l": "arm", "i686": "x86"}
_SHOWN: Final = 400


@dataclass(frozen=True, slots=True)
class CachedTool:
    """What is in the cache, whole. `name` is the folder's: `Python`, or whatever an action has put there."""

    name: str
    version: str
    architecture: str
    folder: Path


def list_cached(tools: Path) -> Iterator[CachedTool]:
    """All of the cache that is complete, by name and version."""
    for mark in sorted(tools.glob("*/*/*.complete")):
        folder = mark.with_suffix("")
        if folder.is_dir():
            yield CachedTool(mark.parts[-3], mark.parts[-2], folder.name, folder)


def place_of(tools: Path, tool: str, version: str) -> Path:
    """Where a version of a tool lies in the cache of this machine."""
    machine = os.uname().machine
    architecture = machine if tool == "uv" else _MACHINES.get(machine, machine)
    return tools / FOLDERS[tool] / version / architecture


def offer_tool(tools: Path, offer: ToolOffer) -> CachedTool:
    """Put what the machine has into the cache, in the place of what is there of that version.

    Who calls this is the owner of `tools`, and never somebody with more rights: jobs may be at work in there meanwhile, and
    a link of theirs leads wherever they want. Raises AgentError, with nothing in the cache, when it can't be made.
    """
    folder = place_of(tools, offer.tool, offer.version)
    mark = folder.with_name(f"{folder.name}.complete")
    try:
        mark.unlink(missing_ok=True)
        if folder.exists():
            remove_tree(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        _MAKERS[offer.tool](offer.executable, folder)
        mark.touch()
    except (OSError, AgentError) as error:
        remove_tree(folder)
        if isinstance(error, AgentError):
            raise
        hint = "is it the folder of the user that jobs run as? Run this as root, or as that user"
        raise AgentError(
            f"the tool cache can't be written: {error.strerror}", where=str(folder), hint=hint
        ) from None
    return find_cached(tools, offer)


def find_cached(tools: Path, offer: ToolOffer) -> CachedTool:
    """What has been offered, as it is in the cache."""
    folder = place_of(tools, offer.tool, offer.version)
    return CachedTool(FOLDERS[offer.tool], offer.version, folder.name, folder)


def matches(version: str, wanted: str) -> bool:
    """Whether a version is one that is asked for by its beginning (`3`, `3.11`), as a whole, or by `3.x`."""
    asked = [part for part in wanted.strip().lstrip("v=~^").split(".") if part not in ("x", "*", "")]
    return version.split(".")[: len(asked)] == asked


def sort_key(version: str) -> tuple[bool, list[int], str]:
    """By which versions are in their order; one that is no number comes first, a beginning before what it becomes."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in numbers[0].split(".")] if numbers else []
    return bool(numbers), parts, "~" if "-" not in version else version


def _make_python(executable: str, folder: Path) -> None:
    """Not the Python itself: jobs install into it, and the machine's own stays as it is."""
    whole = find_whole_python(executable)
    if whole is None:  # of a system: what is its own can't be told from the rest
        hint = "install its module venv (Debian: the package python3-venv, or python3.X-venv)"
        _run_python([executable, "-I", "-m", "venv", str(folder)], "environment", hint)
        return
    hint = "install it anew with its module ensurepip, or name another with --from"
    _run_python(copy_python(whole, folder), "pip", hint)


def _run_python(command: list[str], made: str, hint: str) -> None:
    program = command[0]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_MAKE_SECONDS,
            check=False,
            cwd="/",
        )
    except subprocess.TimeoutExpired:
        raise AgentError(f"{program} makes no {made} within {_MAKE_SECONDS} s") from None
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip()[-_SHOWN:]
        raise AgentError(f"{program} makes no {made}: {said}", hint=hint)


def _make_node(executable: str, folder: Path) -> None:
    """A node of its own, so that `npm install --global` stays in the cache; npm is the machine's."""
    (folder / "bin").mkdir(parents=True)
    shutil.copy2(executable, folder / "bin" / "node")
    library = Path(executable).parents[1] / "lib" / "node_modules"
    for name, package, program in (
        ("npm", "npm", "npm-cli.js"),
        ("npx", "npm", "npx-cli.js"),
        ("corepack", "corepack", "../dist/corepack.js"),
    ):
        source = _find_package(executable, library, package)
        if source is None or not (source / "bin" / program).is_file():
            continue
        target = folder / "lib" / "node_modules" / package
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, target, symlinks=True)
        (folder / "bin" / name).symlink_to(
            os.path.normpath(Path("../lib/node_modules", package, "bin", program))
        )


def _find_package(executable: str, library: Path, package: str) -> Path | None:
    """A package that comes with node: below it, or where its distribution has it."""
    found = [library / package, Path("/usr/share/nodejs") / package]
    if Path(executable).parent != Path("/usr/bin"):
        found.pop()
    return next((folder for folder in found if folder.is_dir()), None)


def _make_uv(executable: str, folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("uv", "uvx"):
        program = Path(executable).with_name(name)
        if program.is_file():
            shutil.copy2(program, folder / name)


_MAKERS: Final = {"python": _make_python, "node": _make_node, "uv": _make_uv}
