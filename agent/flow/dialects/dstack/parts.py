"""Small readers of this language's nodes."""

import re
from typing import Final

from agent.flow.source import Node, Scalar
from agent.flow.tidied import list_items, text_of

# What begins or ends in the middle of something: a continued line, a document, a block.
_PART: Final = re.compile(
    r"\\$|<<|(?:^|[\s;])(?:then|do|else|in|\{|\(|\|\|?|&&)\s*$|^(?:if|for|while|until|case|select|elif|else|then|do)\b(?!.*\b(?:fi|done|esac)\b)"
    r"|^(?:fi|done|esac|else|elif)\b|^[})]|;;\s*$"
)


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
    """A list of commands; of a text each line is one, where each line can stand alone."""
    if not isinstance(node, Scalar):
        return [text_of(item) for item in list_items(node)]
    text = text_of(node)
    lines = [line for line in text.splitlines() if line.strip()]
    return lines if len(lines) > 1 and all(map(_stands_alone, lines)) else [text]


def _stands_alone(line: str) -> bool:
    """Whether a line is a command and no part of one: dstack put `&&` between the lines of a text, so no part could be one there."""
    if line.startswith("#"):
        return True
    if _PART.search(line) or line[:1].isspace():
        return False
    return all(len(line.replace(f"{chr(92)}{mark}", "").split(mark)) % 2 for mark in "\"'`")


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
