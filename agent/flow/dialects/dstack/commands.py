"""Commands of a provider: what it installs, and what it starts. Each has to succeed before the next begins."""

import re
import shlex
from collections.abc import Mapping
from typing import Final

from agent.flow.dialects.dstack.parts import commands_of, version_of
from agent.flow.source import Node, Scalar
from agent.flow.tidied import list_items, text_of

_INSTALL: Final = "pip install --quiet --disable-pip-version-check"
_ARGS: Final = "${{ inputs['run.args'] }}"
_IN_QUOTES: Final = re.compile(r'([\\"`]|\$(?!\{\{))')


def list_setup(fields: Mapping[str, Node]) -> list[str]:
    """What comes first: the packages of `requirements`, then `setup`, which was called `before_run`."""
    requirements = text_of(fields.get("requirements"))
    install = [f"pip install -r {quote_word(requirements)}"] if requirements else []
    return [*install, *commands_of(fields.get("setup") or fields.get("before_run"))]


def install(*packages: tuple[str, Node | None]) -> str:
    """The command that installs packages of the provider's, each in the version that was asked for."""
    wanted = [
        package if version is None else f"{package}=={version_of(version)}" for package, version in packages
    ]
    return " ".join([_INSTALL, *map(quote_word, wanted)])


def quote_args(node: Node | None) -> str:
    """`args` for the command line, with a space before: text as it is, of a list each item as one word."""
    if node is None:
        return ""
    if isinstance(node, Scalar):
        return f" {text_of(node)}"
    return "".join(f" {quote_word(text_of(item))}" for item in list_items(node))


def quote_word(text: str) -> str:
    """A text as one word of the shell. Arguments of the run are words already; a variable's value is part of the word."""
    if text == _ARGS:
        return text
    if "${{" not in text:
        return shlex.quote(text)
    return '"' + _IN_QUOTES.sub(r"\\\1", text) + '"'


def find_program(fields: Mapping[str, Node]) -> str:
    """The program that a provider runs, under any of the names that it had."""
    named = (text_of(fields.get(name)) for name in ("file", "script", "python_script"))
    return next((name for name in named if name), "")
