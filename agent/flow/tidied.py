"""Small readers of tidied nodes; each is content with a node of the wrong kind, which has been reported already."""

from agent.flow.expressions import to_text
from agent.flow.model import Template
from agent.flow.nodes import Mapping, Node, Scalar, Sequence, key_text, plain


def list_fields(node: Node | None) -> dict[str, Node]:
    """A mapping's values by key; nothing for other nodes."""
    return {key_text(key): value for key, value in node.pairs} if isinstance(node, Mapping) else {}


def list_pairs(node: Node | None) -> list[tuple[Scalar, Node]]:
    """A mapping's pairs; nothing for other nodes."""
    return node.pairs if isinstance(node, Mapping) else []


def list_items(node: Node | None) -> list[Node]:
    """A list's items, or the one value that stands for a list of one; nothing for other nodes."""
    if isinstance(node, Sequence):
        return node.items
    return [node] if isinstance(node, Scalar) else []


def text_of(node: Node | None) -> str:
    """A scalar as text; empty for other nodes."""
    return to_text(node.value) if isinstance(node, Scalar) else ""


def texts_of(node: Node | None) -> tuple[str, ...]:
    """A list of texts, or the one text, as a tuple."""
    return tuple(text_of(item) for item in list_items(node))


def template_of(node: Node | None, default: Template = None) -> Template:
    """The node as JSON-like data in which strings may hold expressions; `default` where the key is missing."""
    return default if node is None else plain(node)
