"""Git, run on repositories that are ours to make: nothing of its owner's settings, no hook, no lazy fetch has a say."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from agent.errors import AgentError

# What git is told here. Large files are not held in memory, and one process takes no more than one thread.
SETTINGS: Final = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.bigFileThreshold=16m",
    "gc.auto=0",
    "maintenance.auto=false",
    "pack.threads=1",
    "pack.windowMemory=64m",
    "protocol.ext.allow=never",
    "safe.directory=*",
)
_KEPT: Final = ("PATH", "TMPDIR")


def own_environment() -> dict[str, str]:
    """The environment of a git that works on a repository of ours: it reads no settings but that repository's."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {
        **kept,
        "HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
    }


def git_command(*arguments: str) -> list[str]:
    """The command line of git with our settings."""
    return ["git", *(part for setting in SETTINGS for part in ("-c", setting)), *arguments]


def run_own(
    *arguments: str,
    folder: Path | None = None,
    data: bytes = b"",
    reads: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = 600,
) -> bytes:
    """Run git on our repository in `folder`, on `data` or what `reads` has; its output. Raises AgentError with git's words."""
    place = [] if folder is None else [f"--git-dir={folder}"]
    return run_command(
        git_command(*place, *arguments), {**own_environment(), **(environment or {})}, data, reads, seconds
    )


def run_command(
    command: Sequence[str],
    environment: Mapping[str, str],
    data: bytes = b"",
    reads: IO[bytes] | None = None,
    seconds: float = 600,
) -> bytes:
    """Run a git; its output. Raises AgentError with git's words, also when it takes longer than `seconds`."""
    given: dict[str, Any] = {"stdin": reads} if reads is not None else {"input": data}
    try:
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            command,
            env=dict(environment),
            cwd="/",
            capture_output=True,
            check=False,
            timeout=seconds,
            **given,
        )
    except FileNotFoundError:
        raise AgentError("git is not installed", hint="install it: code is served with git") from None
    except subprocess.TimeoutExpired:
        raise AgentError(f"git was not done after {seconds:.0f} s") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        line = next(
            (one for one in said if one.startswith(("fatal:", "error:"))), said[-1] if said else "no word"
        )
        raise AgentError(f"git failed: {''.join(c if c.isprintable() else '?' for c in line)}")
    return done.stdout
