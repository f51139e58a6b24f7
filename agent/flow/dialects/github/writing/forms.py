"""Forms as `inputs`: a JSON schema whose properties are each one value that GitHub's inputs can be."""

from collections.abc import Mapping
from typing import Final

from agent.flow.expressions import to_text
from agent.flow.model import Input

_TYPES: Final = {
    "string": "string",
    "number": "number",
    "integer": "number",
    "boolean": "boolean",
    "": "string",
}
_TOLD: Final = frozenset({"type", "title", "description", "default", "enum"})
_ABOUT: Final = frozenset(
    {"type", "title", "description", "properties", "required", "$schema", "additionalProperties"}
)


def read_inputs(form: Mapping[str, object]) -> tuple[Input, ...] | None:
    """The inputs that ask for the same; None where a form asks for more than inputs can."""
    properties = form.get("properties", {})
    required = form.get("required", [])
    if not _ABOUT.issuperset(form) or not isinstance(properties, Mapping) or not isinstance(required, list):
        return None
    found = [_read_input(str(name), said, is_required=name in required) for name, said in properties.items()]
    return None if None in found else tuple(one for one in found if one is not None)


def _read_input(name: str, said: object, *, is_required: bool) -> Input | None:
    if not isinstance(said, Mapping) or not _TOLD.issuperset(said):
        return None
    kind = _TYPES.get(to_text(said.get("type")))
    options = said.get("enum", [])
    if (
        kind is None
        or not isinstance(options, list)
        or not all(isinstance(option, str) for option in options)
    ):
        return None
    return Input(
        name,
        "choice" if options else kind,
        to_text(said.get("description", said.get("title"))),
        is_required,
        said.get("default"),
        tuple(map(str, options)),
    )
