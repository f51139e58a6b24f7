"""The words that the table of the language is written in.

A `Shape` says which values may stand somewhere; `Fields` says which keys a mapping may have; a `Key` joins a name to a
shape, to the expressions that may stand there and to a sentence for readers. Validation, the editors' JSON schema and
docs/flow-language.md are all made from these.
"""

from collections.abc import Iterable

from agent.flow.context_scope import NOWHERE, ContextScope


class Shape:
    """Which values may stand somewhere. Scalars of another kind are taken as text where text is allowed."""

    __slots__ = ("boolean", "filled", "items", "mappings", "null", "number", "text", "words")

    def __init__(
        self,
        *,
        null: bool = False,
        boolean: bool = False,
        number: bool = False,
        text: bool = False,
        filled: bool = False,
        words: tuple[str, ...] = (),
        items: "Shape | None" = None,
        mappings: "tuple[Fields, ...]" = (),
    ) -> None:
        self.null = null
        self.boolean = boolean
        self.number = number
        self.text = text  # any text, the empty one too
        self.filled = filled  # any text but the empty one
        self.words = words  # one of these exact texts
        self.items = items  # a list, each item of this shape
        self.mappings = mappings  # a mapping with the keys of exactly one of these


class Key:
    """One key of a mapping: its shape, the expressions allowed in its value, and what it means."""

    __slots__ = ("about", "name", "required", "scope", "shape")

    def __init__(
        self, name: str, shape: Shape, about: str, *, scope: ContextScope = NOWHERE, required: bool = False
    ) -> None:
        self.name = name
        self.shape = shape
        self.about = about
        self.scope = scope  # added to what the surrounding key allows
        self.required = required


class Fields:
    """A mapping: known keys, free keys (each value of the shape `entries`), or both."""

    __slots__ = ("entries", "entry_name", "entry_scope", "keys", "may_be_blank", "name")

    def __init__(
        self,
        name: str,
        *keys: Key,
        entries: Shape | None = None,
        entry_name: str = "name",
        entry_scope: ContextScope = NOWHERE,
        may_be_blank: bool = False,
    ) -> None:
        self.name = name  # as docs and editors call it
        self.keys = {key.name: key for key in keys}
        self.entries = entries
        self.entry_name = entry_name
        self.entry_scope = entry_scope
        self.may_be_blank = may_be_blank  # a free key may be the empty text


def one_of(*shapes: Shape) -> Shape:
    """A value that has any one of the shapes."""
    return Shape(
        null=any(shape.null for shape in shapes),
        boolean=any(shape.boolean for shape in shapes),
        number=any(shape.number for shape in shapes),
        text=any(shape.text for shape in shapes),
        filled=any(shape.filled for shape in shapes),
        words=tuple(word for shape in shapes for word in shape.words),
        items=next((shape.items for shape in shapes if shape.items is not None), None),
        mappings=tuple(fields for shape in shapes for fields in shape.mappings),
    )


def words(*texts: str) -> Shape:
    """One of these exact texts."""
    return Shape(words=texts)


def list_of(items: Shape) -> Shape:
    """A list, each item of that shape."""
    return Shape(items=items)


def mapping(*fields: Fields) -> Shape:
    """A mapping with the keys of exactly one of these."""
    return Shape(mappings=fields)


def map_of(entries: Shape, *, name: str, entry_name: str = "name", scope: ContextScope = NOWHERE) -> Shape:
    """A mapping from free, non-empty names to values of that shape."""
    return Shape(mappings=(Fields(name, entries=entries, entry_name=entry_name, entry_scope=scope),))


NULL = Shape(null=True)
BOOLEAN = Shape(boolean=True)
NUMBER = Shape(number=True)
TEXT = Shape(text=True)
FILLED = Shape(filled=True)
TEXTS = list_of(FILLED)
TEXT_OR_TEXTS = one_of(FILLED, TEXTS)
SCALAR = one_of(TEXT, BOOLEAN, NUMBER)


def _make_anything() -> Shape:
    anything = one_of(NULL, SCALAR)
    anything.items = anything
    anything.mappings = (Fields("anything", entries=anything, may_be_blank=True),)
    return anything


ANYTHING = _make_anything()


def name_alternatives(fields: Iterable[Fields]) -> list[str]:
    """The keys that only one of `fields` has: naming one of them decides which is meant."""
    seen: dict[str, int] = {}
    for candidate in fields:
        for key in candidate.keys:
            seen[key] = seen.get(key, 0) + 1
    return sorted(key for key, count in seen.items() if count == 1)
