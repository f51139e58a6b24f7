"""Values as JSON text, the way toJSON() prints them.

Source: actions/runner `Expressions2/Sdk/Functions/ToJson.cs`.
"""

from collections.abc import Iterable, Iterator, Mapping
from json.encoder import encode_basestring

from agent.flow.expressions.errors import ResultTooLargeError
from agent.flow.expressions.values import is_array, is_primitive, to_text

# Newtonsoft escapes these three in addition to what JSON demands.
_EXTRA_ESCAPES = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def to_json_text(value: object, *, max_length: int | None = None) -> str:
    """What toJSON() returns: two spaces a level, numbers as `to_text` prints them.

    Raises ResultTooLargeError once the text is longer than `max_length` characters.
    """
    parts: list[str] = []
    length = 0
    for part in _write(value):
        parts.append(part)
        length += len(part)
        if max_length is not None and length > max_length:
            raise ResultTooLargeError
    return "".join(parts)


def _write(value: object) -> Iterator[str]:
    """The pieces of the text. Without recursion: a value may be nested deeper than Python's stack."""
    levels: list[tuple[Iterator[tuple[str, object]], str]] = [(iter([("", value)]), "")]
    while levels:
        entries, end = levels[-1]
        entry = next(entries, None)
        if entry is None:
            levels.pop()
            yield end
            continue
        prefix, item = entry
        yield prefix
        if is_primitive(item) or not item:
            yield _write_leaf(item)
            continue
        opener, closer = "{}" if isinstance(item, Mapping) else "[]"
        yield opener
        levels.append((_list_entries(item, len(levels)), f"\n{'  ' * (len(levels) - 1)}{closer}"))


def _list_entries(collection: object, depth: int) -> Iterator[tuple[str, object]]:
    """Each item with all that stands before it: comma, line break, indentation, key."""
    separator = f"\n{'  ' * depth}"
    for key, item in _list_pairs(collection):
        yield f"{separator}{key}", item
        separator = f",\n{'  ' * depth}"


def _list_pairs(collection: object) -> Iterable[tuple[str, object]]:
    if isinstance(collection, Mapping):
        return ((f"{_quote(key)}: ", item) for key, item in collection.items())
    assert is_array(collection)
    return (("", item) for item in collection)


def _write_leaf(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return _quote(value)
    if is_primitive(value):
        return to_text(value)
    return "{}" if isinstance(value, Mapping) else "[]"


def _quote(text: str) -> str:
    quoted = encode_basestring(text)
    return quoted if quoted.isascii() else quoted.translate(_EXTRA_ESCAPES)
