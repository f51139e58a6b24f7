"""The place where an action lies, and what its inspection says of its manifest's nodes."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agent.flow.expressions import to_text
from agent.flow.problems import Problem, Severity
from agent.flow.source import Mapping, Node, Scalar


class Surroundings(NamedTuple):
    """Where an action lies: its folder, its repository's, and whether git has a file of it (None: nobody knows)."""

    folder: Path
    root: Path
    is_kept: Callable[[Path], bool] | None = None


def warn(node: Node, message: str, hint: str = "") -> Problem:
    """What does not make the action invalid."""
    return Problem(node.position, message, hint, Severity.WARNING)


def text_of(node: Node | None) -> str:
    """A scalar's text; "" for anything else."""
    return to_text(node.value) if isinstance(node, Scalar) else ""


def find(node: Node | None, key: str) -> Node | None:
    """The value of a mapping's key; None where there is none."""
    return node.find(key) if isinstance(node, Mapping) else None
