"""Oddities: what the old schema would have refused and the old agent ran all the same."""

import re
from collections.abc import Iterator
from typing import Final

from agent.flow.members import find_close
from agent.flow.problems import Problem, Severity
from agent.flow.source import Mapping, Node, Scalar, key_text
from agent.resolve.manifests.datatorch.words import (
    INPUT,
    LONGEST_DESCRIPTION,
    LONGEST_NAME,
    OUTPUT,
    RUNS,
    TOP,
)

_ID: Final = re.compile(r"[_a-zA-Z][a-zA-Z0-9_-]*")


def list_oddities(root: Node) -> list[Problem]:
    """A warning for each, in the file's order."""
    found = list(_look(root))
    return sorted(found, key=lambda problem: (problem.position.line, problem.position.column))


def _look(root: Node) -> Iterator[Problem]:
    yield from _unknown(root, TOP)
    yield from _unknown(_find(root, "runs"), RUNS)
    for section, keys in (("inputs", INPUT), ("outputs", OUTPUT)):
        for name, node in _pairs(_find(root, section)):
            if not _ID.fullmatch(key_text(name)):
                yield _warn(
                    name,
                    f"'{key_text(name)[:80]}' is no identifier",
                    "a letter or '_', then letters, digits, '-' and '_'",
                )
            yield from _unknown(node, keys)
    yield from _long(root, "name", LONGEST_NAME)
    yield from _long(root, "description", LONGEST_DESCRIPTION)


def _unknown(node: Node | None, known: tuple[str, ...]) -> Iterator[Problem]:
    for key, _ in _pairs(node):
        name = key_text(key)
        if name not in known:
            close = find_close(name, known)
            hint = f"did you mean `{close}`?" if close else f"known here: {', '.join(known)}"
            yield _warn(key, f"'{name[:80]}' means nothing here", hint)


def _long(root: Node, key: str, most: int) -> Iterator[Problem]:
    node = _find(root, key)
    if isinstance(node, Scalar) and isinstance(node.value, str) and len(node.value) > most:
        yield _warn(node, f"`{key}` is longer than {most} characters", "say it in fewer words")


def _find(node: Node | None, key: str) -> Node | None:
    return node.find(key) if isinstance(node, Mapping) else None


def _pairs(node: Node | None) -> list[tuple[Scalar, Node]]:
    return node.pairs if isinstance(node, Mapping) else []


def _warn(node: Node, message: str, hint: str) -> Problem:
    return Problem(node.position, message, hint, Severity.WARNING)
