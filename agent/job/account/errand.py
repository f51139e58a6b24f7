"""Errands: what is to be done as the jobs' user (`agent.job.account`), in a process of its own (`agent.job.process.errand_runner`)."""

import subprocess
import sys

from agent.errors import AgentError
from agent.job.account.account import Account

_SECONDS = 90.0
_LONG_SECONDS = {
    "empty": 6 * 3600.0,  # a workspace may hold millions of files
    "offer": 600.0,  # an environment of Python
}


def run_errand(account: Account, verb: str, *arguments: str) -> str:
    """Have something done as `account`; the answer. Raises AgentError when it could not be done."""
    command = [
        sys.executable,
        "-s",
        "-P",
        "-X",
        "utf8",
        "-m",
        "agent.job.process.errand_runner",
        account.name,
        verb,
    ]
    try:
        done = subprocess.run(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_LONG_SECONDS.get(verb, _SECONDS),
            check=False,
            cwd="/",
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AgentError(f"nothing can be done as '{account.name}': {error}") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise AgentError(said[-1] if said else f"nothing can be done as '{account.name}'")
    return done.stdout.decode("utf-8", "replace").strip()
