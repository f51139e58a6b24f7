"""The syntax tree and the ways to look through it.

Nodes are named tuples and not dataclasses: as immutable, and this package is imported by quick commands.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Literal(NamedTuple):
    """null, a boolean, a number or a string."""

    value: object


class NamedValue(NamedTuple):
    """A context, by its name as written, and where it stands."""

    name: str
    offset: int


class Index(NamedTuple):
    """`base.name`, `base[key]`, or `base.*` where `key` is None."""

    base: "Node"
    key: "Node | None"


class Not(NamedTuple):
    """`!operand`."""

    operand: "Node"


class Comparison(NamedTuple):
    """`left operator right`, the operator being one of == != < <= > >=."""

    operator: str
    left: "Node"
    right: "Node"


class Logical(NamedTuple):
    """Two or more operands joined by && or by ||."""

    operator: str
    operands: "tuple[Node, ...]"


class FunctionCall(NamedTuple):
    """A function call, by the name as written, and where it stands."""

    name: str
    arguments: "tuple[Node, ...]"
    offset: int


Node = Literal | NamedValue | Index | Not | Comparison | Logical | FunctionCall


class Expression(NamedTuple):
    """A parsed expression: its text as given and its tree; an empty text has none and means null."""

    text: str
    root: Node | None


def walk(expression: Expression) -> Iterator[Node]:
    """Every node of the tree, a parent before its children."""
    pending: list[Node] = [] if expression.root is None else [expression.root]
    while pending:
        node = pending.pop()
        yield node
        pending += reversed(_list_children(node))


def called_functions(expression: Expression) -> set[str]:
    """The names of all functions that are called, in lower case."""
    return {node.name.lower() for node in walk(expression) if isinstance(node, FunctionCall)}


def named_values(expression: Expression) -> set[str]:
    """The names of all contexts that are read, in lower case."""
    return {node.name.lower() for node in walk(expression) if isinstance(node, NamedValue)}


def member_paths(expression: Expression) -> Iterator[tuple[str, ...]]:
    """Each context that is read by name, with the names that follow: `a.b['c'].*.d` gives ("a", "b", "c").

    The context is in lower case; a path ends where a name is not written out, and has at least one.
    """
    pending: list[Node] = [] if expression.root is None else [expression.root]
    while pending:
        node = pending.pop()
        names: list[str] = []
        while isinstance(node, Index):
            if isinstance(node.key, Literal) and isinstance(node.key.value, str):
                names.append(node.key.value)
            else:
                names.clear()  # what comes behind belongs to nobody knows what
                if node.key is not None:
                    pending.append(node.key)
            node = node.base
        if not isinstance(node, NamedValue):
            pending += reversed(_list_children(node))
        elif names:
            yield (node.name.lower(), *reversed(names))


def _list_children(node: Node) -> tuple[Node, ...]:
    match node:
        case Index(base, key):
            return (base,) if key is None else (base, key)
        case Not(operand):
            return (operand,)
        case Comparison(_, left, right):
            return (left, right)
        case Logical(_, operands):
            return operands
        case FunctionCall(_, arguments):
            return arguments
        case Literal() | NamedValue():
            return ()
