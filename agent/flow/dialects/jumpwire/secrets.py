"""Texts of a config: where a secret is meant and none is named, and where another language's templates stand."""

import re
from typing import Final

from agent.flow.nodes import Mapping, Node, Scalar, Sequence, key_text
from agent.flow.reading import Reader
from agent.flow.stages import list_named

_MEANT: Final = re.compile(r"\$\{\s*secrets?\b[^}\n]{0,100}\}?", re.IGNORECASE)
_CODE: Final = ("code",)  # whose `${{` is the program's own


def check_texts(reader: Reader, node: Node | None) -> None:
    """Warn of what stays text, and of which nobody would think so."""
    if isinstance(node, Scalar):
        _check_text(reader, node)
    elif isinstance(node, Sequence):
        for item in node.items:
            check_texts(reader, item)
    elif isinstance(node, Mapping):
        for key, value in node.pairs:
            _check_text(reader, key)
            if key_text(key) not in _CODE:
                check_texts(reader, value)


def _check_text(reader: Reader, node: Scalar) -> None:
    text = node.value
    if not isinstance(text, str) or "${" not in text:
        return
    if "${{" in text:
        reader.warn(
            node,
            "`${{ }}` is not of this language: it stays text",
            "a secret is `${secret.NAME}`; what a record holds is for the stages to read",
        )
        return
    for meant in _MEANT.findall(text):
        if not any(True for _ in list_named(meant)):
            reader.warn(
                node,
                f"`{meant[:80]}` names no secret: it stays text",
                "as in `${secret.API_KEY}`: letters, digits, `_` and `-`, beginning with a letter or `_`",
            )
