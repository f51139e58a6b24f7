"""The git configuration of an agent's jobs: its owner's file, read once, and nothing that a job could have written since.

What a person runs (`agent flow run`, `agent action lock`) uses that person's own configuration. The daemon's jobs share a user
with other people's jobs, and one line in `~/.gitconfig` (`url.*.insteadOf`) would swap the actions of all that come after.
So the daemon reads one file when it starts, before its jobs, and hands its entries on in the environment of its own
processes: git is given them there, no file of the user's is read, and HOME leads nowhere (`~/.netrc`).
"""

import subprocess
from collections.abc import Mapping, MutableMapping
from pathlib import Path

from agent.errors import AgentError, UsageError

_SECONDS = 20
_NOWHERE = "/nonexistent"
_SSH_CONFIG = Path("/etc/ssh/ssh_config")
_SSH_COMMAND = "core.sshcommand"
_NOTHING = "/dev/null"
MARK = "FLOW_AGENT_GIT"  # there means: this process's git is secluded


def read_git_config(file: Path) -> tuple[tuple[str, str], ...]:
    """The entries of a git configuration, those of files that it includes among them. Raises UsageError."""
    command = ["git", "config", "--file", str(file), "--includes", "--null", "--list"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False, cwd="/")
    except FileNotFoundError:
        raise AgentError("git is not installed", hint="install it: actions are fetched with git") from None
    except subprocess.TimeoutExpired:
        raise AgentError("git can't read its configuration in time", where=str(file)) from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise UsageError(f"the git configuration can't be read: {said}", where=str(file))
    entries = [entry.partition("\n") for entry in done.stdout.decode("utf-8", "replace").split("\0") if entry]
    return tuple((name, value if between else "true") for name, between, value in entries)


def seclude_git(environment: MutableMapping[str, str], config: tuple[tuple[str, str], ...]) -> None:
    """Let git be run with `config` alone by all processes that have `environment`."""
    for name in [name for name in environment if name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))]:
        del environment[name]
    environment[MARK] = "secluded"
    environment["GIT_CONFIG_GLOBAL"] = _NOTHING
    environment["GIT_CONFIG_COUNT"] = str(len(config))
    for number, (name, value) in enumerate(config):
        environment[f"GIT_CONFIG_KEY_{number}"] = name
        environment[f"GIT_CONFIG_VALUE_{number}"] = value


def secluded(environment: Mapping[str, str]) -> dict[str, str]:
    """What a secluded git is given beside the rest of `environment`; nothing elsewhere."""
    if MARK not in environment:
        return {}
    own = {
        name: value
        for name, value in environment.items()
        if name == "GIT_CONFIG_COUNT" or name.startswith(("GIT_CONFIG_KEY_", "GIT_CONFIG_VALUE_"))
    }
    own |= {"HOME": _NOWHERE, "XDG_CONFIG_HOME": _NOWHERE, "GIT_CONFIG_GLOBAL": _NOTHING}
    if "GIT_SSH_COMMAND" not in environment:
        keys = [
            name for name in own if name.startswith("GIT_CONFIG_KEY_") and own[name].lower() == _SSH_COMMAND
        ]
        named = own[keys[-1].replace("_KEY_", "_VALUE_")] if keys else ""
        config = _SSH_CONFIG if _SSH_CONFIG.is_file() else "none"
        own["GIT_SSH_COMMAND"] = named or f"ssh -F {config} -oBatchMode=yes -oConnectTimeout=20"
    return own
