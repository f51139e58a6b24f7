"""The environment of a workflow: its variables, and what `env` (or `environment`) says over them.

A bare `K` is the caller's: an input of the run that `agent flow run` and `agent flow submit` fill from their own environment;
where nobody gives it, it is what the workflow would have had without that line (a variable, a secret), or empty.
"""

import json
import re
from collections.abc import Collection
from typing import Final

from agent.flow.dialects.dstack.parts import as_written, quote
from agent.flow.model import Input, Template
from agent.flow.reading import Reader
from agent.flow.source import Mapping, Node, Scalar, key_text, plain
from agent.flow.tidied import list_items

_NAME: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_INPUT: Final = "env."


def read_environment(reader: Reader, node: Node | None, known: dict[str, Template]) -> dict[str, Template]:
    """`known`, the variables, with those of `node` over them; every name that can be no variable is reported."""
    env = dict(known)
    if isinstance(node, Mapping):
        for key, written in node.pairs:
            _add(reader, env, key, key_text(key), _write_value(written))
        return env
    for item in list_items(node):
        text = as_written(item)
        name, equals, value = text.partition("=")
        bare = _take_callers(name, env.get(name))
        _add(reader, env, item, name.strip(), value if equals else bare)
    return env


def list_callers(node: Node | None, workflow: str, others: Collection[str]) -> list[Input]:
    """The inputs for the names that the caller's environment gives; `others`, the workflow's variables, are there without it."""
    if isinstance(node, Mapping):
        return []
    items = {as_written(item).strip(): item for item in reversed(list_items(node))}
    return [
        Input(
            f"{_INPUT}{name}",
            "string",
            f"{name} of the caller's environment",
            jobs=(workflow,),
            variable=name,
            or_empty=name not in others,
            position=item.position,
        )
        for name, item in reversed(items.items())
        if _NAME.fullmatch(name)
    ]


def _write_value(node: Node) -> str:
    """A scalar as it is written; what is none, as JSON."""
    if isinstance(node, Scalar):
        return as_written(node)
    return json.dumps(plain(node), ensure_ascii=False)


def _take_callers(name: str, otherwise: Template) -> str:
    given = f"inputs[{quote(_INPUT + name.strip())}]"
    if isinstance(otherwise, str) and otherwise.startswith("${{"):
        return f"${{{{ {given} || {otherwise[3:-2].strip()} }}}}"
    return f"${{{{ {given} || env.{name.strip()} }}}}"


def _add(reader: Reader, env: dict[str, Template], node: Node, name: str, value: str) -> None:
    if not _NAME.fullmatch(name):
        shown = name or as_written(node if isinstance(node, Scalar) else None)
        reader.report(
            node, f"'{shown}' is no name of a variable", "write NAME=VALUE, or NAME for the caller's own"
        )
        return
    env[name] = value
