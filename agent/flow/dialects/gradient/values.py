"""Values as Gradient writes them, made into templates: `secret:NAME`, `context.event.github.url`, everything else as it stands.

`${{ }}` means nothing there: it is text, and comes out as it went in.
"""

import re
from typing import Final

from agent.flow.expressions import has_expression
from agent.flow.model import Template
from agent.flow.nodes import Node, key_text
from agent.flow.reading import Reader
from agent.flow.tidied import list_items, list_pairs, text_of

_SECRET: Final = "secret:"  # noqa: S105 - a word of the language
_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,254}"
_CONTEXT: Final = r"context\.event(?:\.[A-Za-z_][\w-]*)+"
_BRACES: Final = "${{"
_BRACES_AS_TEXT: Final = "${{ '${{' }}"


def read_value(reader: Reader, node: Node | None) -> Template:
    """A value of `env` or `with` as a template."""
    text = text_of(node)
    if node is not None and text.startswith(_SECRET):
        return f"${{{{ secrets.{_read_secret(reader, node)} }}}}"
    if re.fullmatch(_CONTEXT, text):
        return f"${{{{ {text} }}}}"
    if node is not None and has_expression(text):
        reader.warn(node, "`${{` means nothing in a Gradient workflow: this is text, and stays as it is")
    return as_text(text)


def read_env(reader: Reader, node: Node | None) -> Template:
    """`env` as templates; None where nothing is said."""
    pairs = list_pairs(node)
    return {as_text(key_text(key)): read_value(reader, value) for key, value in pairs} if pairs else None


def read_list(reader: Reader, node: Node | None) -> list[Template]:
    """A list of values as templates."""
    return [read_value(reader, item) for item in list_items(node)]


def is_secret(node: Node | None) -> bool:
    """Whether a value is a secret's name and not the thing itself."""
    return text_of(node).startswith(_SECRET)


def as_text(text: str) -> str:
    """A template whose value is `text`, whatever stands in it."""
    return text.replace(_BRACES, _BRACES_AS_TEXT)


def _read_secret(reader: Reader, node: Node) -> str:
    """The name of the secret that a value is: as it can be set here, which has fewer letters than there."""
    name = text_of(node).removeprefix(_SECRET).strip()
    if re.fullmatch(_NAME, name):
        return name
    usable = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not re.fullmatch(_NAME, usable):
        reader.report(node, f"'{name}' is not the name of a secret", "as in `secret:API_KEY`")
        return "_"
    reader.warn(
        node, f"a secret has letters, digits and `_` in its name here: '{name}' is read as '{usable}'"
    )
    return usable
