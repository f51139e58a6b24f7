"""A language's page for people, made from its table: shapes in words, a section a mapping."""

from collections.abc import Callable, Iterator
from typing import Final

from agent.flow.context_scope import NOWHERE, ContextScope
from agent.flow.shapes import ANYTHING, Fields, Key, Shape

_MANY_WORDS: Final = 12


def describe_shape(shape: Shape) -> str:
    """A shape in words, with links to the mappings that it may be."""
    if shape is ANYTHING:
        return "anything"
    parts = []
    if shape.text or shape.filled:
        parts.append("text" if shape.text else "text, not empty")
    if len(shape.words) > _MANY_WORDS:
        parts.append("one of the names below")
    elif shape.words:
        parts.append(", ".join(f"`{word}`" for word in shape.words))
    parts += [name for name, takes in (("true or false", shape.boolean), ("number", shape.number)) if takes]
    if shape.null:
        parts.append("nothing")
    if shape.items is not None:
        parts.append(f"list of: {describe_shape(shape.items)}")
    parts += [_describe_mapping(fields) for fields in shape.mappings]
    return " or ".join(parts)


def describe_scope(scope: ContextScope) -> str:
    """The contexts and functions of a place."""
    names = [*scope.contexts, *(f"{info.name}()" for info in scope.functions)]
    return " ".join(names) or "–"


def _describe_mapping(fields: Fields) -> str:
    if fields.keys:
        return f"[{fields.name}](#{_anchor(fields.name)})"
    assert fields.entries is not None
    return f"mapping {fields.entry_name}: {describe_shape(fields.entries)}"


def list_sections(
    root: Fields, is_told: Callable[[Fields, Key], bool]
) -> Iterator[tuple[Fields, ContextScope]]:
    """Every mapping with known keys, in the order in which a reader meets them, with its scope.

    Nothing behind a key has a section of its own where `is_told` says that its mapping's tells it in full.
    """
    waiting: list[tuple[Fields, ContextScope]] = [(root, NOWHERE)]
    seen: set[str] = set()
    while waiting:
        fields, scope = waiting.pop(0)
        if fields.name in seen:
            continue
        seen.add(fields.name)
        yield fields, scope
        for key in fields.keys.values():
            if not is_told(fields, key):
                waiting += _list_inner(key.shape, scope.joined(key.scope))


def _list_inner(shape: Shape, scope: ContextScope) -> list[tuple[Fields, ContextScope]]:
    if shape is ANYTHING:
        return []
    found: list[tuple[Fields, ContextScope]] = []
    for fields in shape.mappings:
        if fields.keys:
            found.append((fields, scope))
        else:
            assert fields.entries is not None
            found += _list_inner(fields.entries, scope.joined(fields.entry_scope))
    if shape.items is not None:
        found += _list_inner(shape.items, scope)
    return found


def write_keys(fields: Fields, scope: ContextScope) -> Iterator[str]:
    """The table of a mapping's keys at a place with that scope."""
    yield "| key | value | expressions | meaning |\n| --- | --- | --- | --- |"
    for key in fields.keys.values():
        inner = scope.joined(key.scope)
        name = f"**`{key.name}`**" if key.required else f"`{key.name}`"
        yield f"| {name} | {describe_shape(key.shape)} | {describe_scope(_innermost(key.shape, inner))} | {key.about} |"
    if fields.entries is not None:
        inner = scope.joined(fields.entry_scope)
        yield (
            f"| *{fields.entry_name}* | {describe_shape(fields.entries)} | {describe_scope(inner)} "
            f"| Any other name. |"
        )


def _innermost(shape: Shape, scope: ContextScope) -> ContextScope:
    """Where only a mapping's values take expressions, theirs is the scope to show."""
    for fields in shape.mappings:
        if not fields.keys and fields.entry_scope is not NOWHERE:
            return scope.joined(fields.entry_scope)
    return scope


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-").replace(".", "")
