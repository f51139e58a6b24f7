"""What Python actions of DataTorch's import: their inputs, their outputs, and stand-ins for what only its server had.

    from datatorch import get_input, get_inputs, set_output, agent

`datatorch.api` and all below it can be imported, so that an action that needs a part of it only now and then still runs; what
is then used of it raises `NotAvailableError`, which says what to do instead.
"""

import json
import os
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Never

__all__ = ["ApiClient", "Artifact", "NotAvailableError", "agent", "get_input", "get_inputs", "set_output"]


class NotAvailableError(NotImplementedError):
    """The action asked for something of DataTorch's own server."""


def get_inputs(key: str | None = None, default: Any = None) -> Any:
    """All inputs of this step, and what the steps before it were given and gave; or the one called `key`."""
    values = _read_argument()
    for name in list(values):
        values[name] = values[name] if values[name] is not None else _read_variable(name)
    return values if key is None else values.get(key, _read_variable(key) if default is None else default)


def get_input(name: str, default: Any = None) -> Any:
    """One input; `default` where there is none of this name."""
    return get_inputs(name, default)


def set_output(name: str, value: Any) -> None:
    """Give an output, of any kind that JSON has, to the steps that follow."""
    sys.stdout.write(f"\n::{name}::{json.dumps(value)}\n")
    sys.stdout.flush()


def _read_argument() -> dict[str, Any]:
    try:
        values = json.loads(sys.argv[-1]) if len(sys.argv) > 1 else {}
    except ValueError:
        values = {}
    return values if isinstance(values, dict) else {}


def _read_variable(name: str) -> str | None:
    """What holds a secret is in the environment alone."""
    text = os.environ.get("INPUT_" + "".join(c if c.isascii() and c.isalnum() else "_" for c in name).upper())
    return text or None


class _Directories:
    """The folders of this machine's agent, as far as a job may use them."""

    root = os.environ.get("RUNNER_TEMP", "/tmp")  # noqa: S108 - a job has its own
    temp = root
    actions = os.environ.get("GITHUB_ACTION_PATH", root)
    logs = root


class _Agent:
    """`agent.directories()`, as actions ask for it."""

    @staticmethod
    def directories() -> _Directories:
        """The folders."""
        return _Directories()


agent = _Agent()


class _StandIn:
    """Stands for a class or function of DataTorch's API: it can be named, and not used."""

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        _refuse(type(self).__module__, type(self).__qualname__)


def _refuse(module: str, name: str) -> Never:
    raise NotAvailableError(
        f"{module}.{name} speaks to a DataTorch server, and there is none here: "
        "take files and ids as inputs of the step, and give what you found with set_output"
    )


def _make_stand_in(module: str, name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (_StandIn,), {"__module__": module, "__qualname__": name})


class _ApiModules(MetaPathFinder, Loader):
    """`datatorch.api`, `datatorch.artifacts` and every module below them: whatever is asked of them is a stand-in."""

    def find_spec(self, fullname: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """The module, when it is one of theirs."""
        if fullname.split(".")[:2] not in (["datatorch", "api"], ["datatorch", "artifacts"]):
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty module that has every name."""
        module = ModuleType(spec.name)
        module.__getattr__ = lambda name: _make_stand_in(spec.name, name)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


sys.meta_path.append(_ApiModules())
ApiClient = _make_stand_in("datatorch", "ApiClient")
Artifact = _make_stand_in("datatorch", "Artifact")
