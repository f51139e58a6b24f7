"""The libraries of the extra `[streams]`, loaded when a flow uses them."""

from importlib import import_module
from types import ModuleType

from agent.errors import AgentError

INSTALL = "pip install 'gpu-flow-agent[streams]'"


def load_library(module: str, stage: str) -> ModuleType:
    """A module of the extra. AgentError, with the command that installs it, where this machine has none."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise AgentError(
            f"the stage '{stage}' needs the Python package '{package}', which this machine's agent lacks",
            hint=f"install it beside the agent: {INSTALL}",
        ) from error
