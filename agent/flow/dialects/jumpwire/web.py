"""Values of configs that speak of the web: addresses, paths, methods, headers."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from agent.flow.dialects.jumpwire.settings import ReadValue
from agent.flow.dialects.jumpwire.values import has_secret
from agent.flow.members import find_close
from agent.flow.nodes import Mapping, Node, Sequence, key_text
from agent.flow.reading import Reader
from agent.flow.tidied import list_items, list_pairs, text_of

METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options", "trace")
RECEIVED: Final = ("POST", "PUT", "PATCH", "DELETE", "GET")
_PATH: Final = re.compile(r"/?[\w.~-]+(?:/[\w.~-]+)*/?", re.ASCII)
_HEADER: Final = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)  # RFC 9110, 5.1


def url(*schemes: str) -> ReadValue:
    """An address of one of these schemes. One with a secret in it is known when the flow runs."""

    def read(reader: Reader, node: Node) -> object:
        text = text_of(node)
        if not has_secret(text) and not _is_url(text, schemes):
            wanted = " or ".join(f"{scheme}://" for scheme in schemes[:2])
            reader.report(node, f"'{text[:80]}' is no address", f"it begins with {wanted} and names a host")
        return text

    return read


def read_path(reader: Reader, node: Node) -> object:
    """The path of a webhook: it begins with a slash and ends with none."""
    text = text_of(node)
    if not _PATH.fullmatch(text) or ".." in text.split("/") or "." in text.split("/"):
        reader.report(
            node, f"'{text[:80]}' is no path of a webhook", "as in `/orders`: letters, digits, `.`, `~`, `_`, `-` and `/`"
        )  # fmt: skip
    return "/" + text.strip("/")


def read_method(reader: Reader, node: Node) -> object:
    """An HTTP method, in small letters."""
    return _read_method(reader, node, METHODS).lower()


def read_methods(reader: Reader, node: Node) -> object:
    """HTTP methods, in capitals, as a list."""
    return [_read_method(reader, item, RECEIVED).upper() for item in list_items(node)] or list(RECEIVED[:1])


def read_headers(reader: Reader, node: Node) -> object:
    """Headers as a list of pairs, [name, value], whichever way they are written."""
    found = list(_list_headers(reader, node))
    for name, value, place in found:
        if not has_secret(name) and not _HEADER.fullmatch(name):
            reader.report(place, f"'{name[:80]}' is no name of a header")
        if any(character in value for character in "\r\n\0"):
            reader.report(place, f"the header '{name[:80]}' has more than one line")
    return [[name, value] for name, value, _ in found]


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    has_place = bool(parts.hostname) or (parts.scheme == "unix" and bool(parts.path))
    return parts.scheme in schemes and has_place and not re.search(r"[\s\x00-\x1f]", text)


def _read_method(reader: Reader, node: Node, known: tuple[str, ...]) -> str:
    text = text_of(node)
    names = {name.lower(): name for name in known}
    if text.lower() not in names:
        close = find_close(text, known)
        reader.report(
            node, f"there is no method '{text[:80]}'", f"did you mean `{close}`?" if close else f"one of {', '.join(known)}"
        )  # fmt: skip
    return text


def _list_headers(reader: Reader, node: Node) -> Iterator[tuple[str, str, Node]]:
    for key, value in list_pairs(node):
        yield key_text(key), text_of(value), key
    for item in node.items if isinstance(node, Sequence) else ():
        if isinstance(item, Mapping):
            yield from _list_headers(reader, item)
        elif isinstance(item, Sequence) and len(item.items) == 2:
            name, value = item.items
            yield text_of(name), text_of(value), name
        elif isinstance(item, Sequence):
            reader.report(
                item, "a header is a pair: its name, its value", "as in `- {Authorization: Bearer x}`"
            )
