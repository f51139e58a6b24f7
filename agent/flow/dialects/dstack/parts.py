"""Small readers of this language's nodes."""

from agent.flow.source import Node, Scalar
from agent.flow.tidied import list_items, text_of


def as_written(node: Node | None) -> str:
    """A scalar as its file has it: `1.0` stays that, and so do `3.10` and `1e-3`; nothing for what is no scalar."""
    if not isinstance(node, Scalar) or node.value is None:
        return ""
    return str(node.value) if isinstance(node.value, str) and not node.is_plain else node.text


def version_of(node: Node | None) -> str:
    """A version: YAML makes the number 3.1 of `3.10`, and what was meant is what was written."""
    return node.text.strip() if isinstance(node, Scalar) else ""


def is_set(node: Node | None) -> bool:
    """A flag. Those files were read by YAML 1.1, to which `yes` and `on` are true."""
    return as_written(node).lower() in ("true", "yes", "on")


def commands_of(node: Node | None) -> list[str]:
    """One command, or a list of them."""
    return [text_of(item) for item in list_items(node)]


def quote(text: str) -> str:
    """A text as an expression has it."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


def strip_path(path: str, home: str = "") -> str:
    """A path without what says nothing: `./data/` is `data`, and `.` the folder itself; `~` is `home`, where that is said."""
    if home and (path == "~" or path.startswith("~/")):
        path = home.rstrip("/") + path[1:]
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    return path.rstrip("/") or ("/" if path.startswith("/") else ".")
