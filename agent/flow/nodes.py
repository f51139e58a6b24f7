"""YAML nodes with places; and what an unquoted scalar means.

PyYAML's own resolver is YAML 1.1 (`on` would be true, `12:30` a number); GitHub reads YAML 1.2's core schema, so that is
decided here. Source: actions/runner `Sdk/WorkflowParser/Conversion/YamlObjectReader.cs`.
"""

import math
import re
from typing import Final

from agent.flow.expressions.values import to_text
from agent.flow.model import Position


class Node:
    """Anything that stands in the file; `position` is where its content begins."""

    __slots__ = ("column", "file", "line")

    file: str
    line: int
    column: int

    @property
    def position(self) -> Position:
        """Where the node's content begins."""
        return Position(self.file, self.line, self.column)


class Scalar(Node):
    """A single value: None, a bool, an int, a float or text. `text` is what was written, without quotes."""

    __slots__ = ("is_plain", "text", "value")

    def __init__(
        self, file: str, line: int, column: int, value: object, text: str, *, is_plain: bool
    ) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.value = value
        self.text = text
        self.is_plain = is_plain


class Sequence(Node):
    """A list of nodes."""

    __slots__ = ("items",)

    def __init__(self, file: str, line: int, column: int) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.items: list[Node] = []


class Mapping(Node):
    """Pairs of key and value in the file's order; keys may repeat here, whoever reads decides."""

    __slots__ = ("pairs",)

    def __init__(self, file: str, line: int, column: int) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.pairs: list[tuple[Scalar, Node]] = []

    def find(self, key: str) -> Node | None:
        """The value of the first pair whose key is `key`, or None."""
        return next((value for name, value in self.pairs if name.value == key), None)


def plain(node: Node) -> object:
    """The node as JSON-like data: dict (keys are text, a later one wins), list, str, int, float, bool, None."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return {key_text(key): plain(value) for key, value in node.pairs}


def key_text(key: Scalar) -> str:
    """A key as text; YAML lets `1:` and `true:` be keys, GitHub reads them as strings."""
    return key.value if isinstance(key.value, str) else to_text(key.value)


_WORDS: Final[dict[str, object]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
    ".inf": math.inf, ".Inf": math.inf, ".INF": math.inf, "+.inf": math.inf, "+.Inf": math.inf, "+.INF": math.inf,
    "-.inf": -math.inf, "-.Inf": -math.inf, "-.INF": -math.inf, ".nan": math.nan, ".NaN": math.nan, ".NAN": math.nan,
}  # fmt: skip
_NUMBER_STARTS: Final = frozenset("+-.0123456789")
_DECIMAL: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+", re.ASCII)
_EXACT: Final = 2**53  # GitHub's numbers are doubles; beyond this an int would be more exact than they are


def resolve_plain(text: str) -> object:
    """What an unquoted scalar means in YAML 1.2's core schema: None, a bool, an int, a float, or the text itself."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > 400:  # more digits than any double has: Python refuses to read very long ones
            return -math.inf if text[0] == "-" else math.inf
        prefix = text[:2]
        number = int(text, 16) if prefix == "0x" else int(text, 8) if prefix == "0o" else int(text)
        return number if -_EXACT <= number <= _EXACT else _as_double(number)
    return float(text) if _DECIMAL.fullmatch(text) else text


def _as_double(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
