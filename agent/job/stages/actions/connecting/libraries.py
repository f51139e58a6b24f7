"""The libraries of the extra `[streams]`, loaded when a flow uses them."""

import shlex
import sys
from importlib import import_module
from types import ModuleType

from agent.errors import AgentError

_PACKAGES = {"nats": "nats-py", "psycopg": "psycopg[binary]"}  # where they are not named as their module is


def load_library(module: str, stage: str) -> ModuleType:
    """A module of the extra. AgentError, with the command that installs it, where this machine has none."""
    try:
        return import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        package = _PACKAGES.get(name, name)
        raise AgentError(
            f"the stage '{stage}' needs the Python package '{package}', which this machine's agent lacks",
            hint=f"install it beside the agent: {shlex.quote(sys.executable)} -m pip install {shlex.quote(package)}",
        ) from error
