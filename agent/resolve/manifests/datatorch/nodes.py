"""Small readers of a manifest's nodes; what is wrong is noted, and reading goes on."""

from agent.flow.expressions import to_text
from agent.flow.jinja import translate_text
from agent.flow.problems import Problem
from agent.flow.source import Mapping, Node, Scalar, Sequence, key_text


class ManifestNodes:
    """Reads nodes and gathers the `problems` of one file."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def refuse(self, node: Node, message: str, hint: str = "") -> None:
        """Note an error at a node."""
        self.problems.append(Problem(node.position, message, hint))

    def pairs(self, node: Node | None, expected: str = "") -> dict[str, Node]:
        """The pairs of a mapping by key; nothing and null have none."""
        if node is None or (isinstance(node, Scalar) and node.value is None and not expected):
            return {}
        if not isinstance(node, Mapping):
            self.refuse(node, "A mapping was expected", expected)
            return {}
        return {key_text(key): value for key, value in node.pairs}

    def text(self, pairs: dict[str, Node], key: str) -> str:
        """A scalar as text; empty where it is not there."""
        node = pairs.get(key)
        if node is None:
            return ""
        if not isinstance(node, Scalar):
            self.refuse(node, f"'{key}' is text, not a list or a mapping")
            return ""
        return to_text(node.value)

    def flag(self, pairs: dict[str, Node], key: str) -> bool:
        """A key that is true or false; false where it is not there."""
        node = pairs.get(key)
        if node is None:
            return False
        if not isinstance(node, Scalar) or not isinstance(node.value, bool):
            self.refuse(node, f"'{key}' is true or false", "write it without quotes")
            return False
        return node.value

    def template(self, node: Node | None) -> object:
        """The node as JSON-like data, its templates as expressions of ours."""
        if node is None:
            return None
        if isinstance(node, Scalar):
            return self._translate(node) if isinstance(node.value, str) else node.value
        if isinstance(node, Sequence):
            return [self.template(item) for item in node.items]
        assert isinstance(node, Mapping)
        return {key_text(key): self.template(value) for key, value in node.pairs}

    def _translate(self, node: Scalar) -> str:
        translated = translate_text(to_text(node.value))
        if translated.complaint:
            self.refuse(node, translated.complaint, translated.hint)
        return translated.text
