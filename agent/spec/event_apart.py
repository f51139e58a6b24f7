"""The event of a run, where it is too long to stand in each record of the run: kept once, apart from them.

A long event is one document, a JSON list of values. In a record that belongs to it (the run's state, a job's specification)
the contexts are hollow: an empty object stands in each place that has one of these values. The record says which document
it is by its digest, so that whoever fills the contexts again knows that it has the right one, and whole.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from agent.errors import DamagedError

_Contexts = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class EventPlace:
    """Where in the contexts a value of the document stands: the names on the way to it, and its number in the document."""

    path: tuple[str, ...]
    value: int


@dataclass(frozen=True, slots=True)
class EventApart:
    """The document of a long event."""

    digest: str  # sha256:<hex> of its text
    size_bytes: int
    places: tuple[EventPlace, ...]


def hollow_out(contexts: _Contexts, apart: EventApart) -> _Contexts:
    """The contexts with nothing where the document's values stand."""
    nothing: dict[str, object] = {}
    return fill_in(contexts, apart, [nothing] * (1 + max((place.value for place in apart.places), default=0)))


def fill_in(contexts: _Contexts, apart: EventApart, values: Sequence[object]) -> _Contexts:
    """Hollow contexts with the document's values."""
    filled: Any = contexts
    for place in apart.places:
        filled = _put(filled, place.path, values[place.value])
    return cast("_Contexts", filled)


def look_up(contexts: _Contexts, path: Sequence[str]) -> object:
    """What stands at `path`; None where nothing does."""
    found: object = contexts
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def find_digest(text: bytes) -> str:
    """The digest of a document's text."""
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def read_document(text: bytes, apart: EventApart, *, where: str) -> list[object]:
    """The values of a document. Raises DamagedError."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"the run's event is not valid JSON: {error}", where=where) from None
    if not isinstance(values, list) or any(place.value >= len(values) for place in apart.places):
        raise DamagedError("the run's event is not what its record says", where=where)
    return values


def _put(outer: Mapping[str, object], path: Sequence[str], value: object) -> dict[str, object]:
    """`outer` with `value` at `path`; where the way there does not lead on, it is left as it is."""
    name, *rest = path
    inner = outer.get(name)
    if not isinstance(inner, Mapping):
        return {**outer}
    return {**outer, name: _put(inner, rest, value) if rest else value}
