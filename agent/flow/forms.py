"""Forms: JSON schemas of what a person is asked for, when a flow is started by hand or by a step that waits for one.

What comes as text (a command line, a field of a page) is read as the kind that the form asks for; what is left out gets the form's
default; and then the schema says what is wrong. Who says it is `jsonschema_rs`, of the extra [server]: its patterns are tried for so
long only, and it fetches nothing, so a stranger's form can't hold up or send out a server. Where it is not
installed, required fields and their kinds are looked at and no more, and `has_validator` tells.
Source: JSON Schema 2020-12, and the draft that a form names with `$schema`.
"""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple, NoReturn

from agent.errors import UsageError

MOST_SCHEMAS = 10_000  # of a form, when each `$ref` is replaced by what it stands for
_MOST_SHOWN = 300  # characters of one mistake: it may quote the whole value
_DEFINITIONS = ("$defs", "definitions")  # counted where they are referred to
_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_UNDER_WAY = -1
_MOST_BACKTRACKING = 100_000  # steps of a pattern: a few milliseconds


class Mistake(NamedTuple):
    """What is wrong with one field; `field` is empty when it is about all of them."""

    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.field}: {self.what}" if self.field else self.what


def has_validator() -> bool:
    """Whether values are checked whole here: the extra [server] is installed."""
    return find_spec("jsonschema_rs") is not None


def fill_form(form: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
    """The values of the form's fields: `given`, text read as the kind that is asked for, and defaults for what is left out."""
    fields = fields_of(form)
    values: dict[str, object] = {
        name: field["default"] for name, field in fields.items() if "default" in field and name not in given
    }
    for name, value in given.items():
        values[name] = read_text(fields.get(name, {}), value) if isinstance(value, str) else value
    return values


def fields_of(form: Mapping[str, object]) -> dict[str, Mapping[str, Any]]:
    """The fields that the form names, each with its own schema."""
    found = form.get("properties")
    if not isinstance(found, Mapping):
        return {}
    return {str(name): field if isinstance(field, Mapping) else {} for name, field in found.items()}


def required_of(form: Mapping[str, object]) -> tuple[str, ...]:
    """The names of the fields that can't be left out."""
    found = form.get("required")
    return tuple(str(name) for name in found) if isinstance(found, list | tuple) else ()


def read_text(field: Mapping[str, Any], text: str) -> object:
    """`text` as the kind that the field asks for; as it is where it is none of that kind (then the form says so), or text is meant."""
    kinds = _kinds_of(field)
    options = field.get("enum")
    if isinstance(options, list) and text not in options:
        return next((option for option in options if _write(option) == text.strip()), text)
    if not kinds or "string" in kinds:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if any(_is_of(value, kind) for kind in kinds) else text


def list_mistakes(form: Mapping[str, object], values: Mapping[str, object]) -> list[Mistake]:
    """What the form says of the values. Raises UsageError for a form that is no JSON schema, or that can't be looked through."""
    missing = [Mistake(name, "is required") for name in required_of(form) if name not in values]
    if missing:
        return missing
    if not has_validator():
        return _list_strange_kinds(form, values)
    _check_size(form)
    from jsonschema_rs import FancyRegexOptions, ValidationError, validator_for

    try:
        validator = validator_for(
            dict(form),
            retriever=_refuse,
            pattern_options=FancyRegexOptions(backtrack_limit=_MOST_BACKTRACKING),
            validate_formats=True,
        )
    except (ValidationError, ValueError) as error:
        raise UsageError(f"the form is no JSON schema: {_cut(error)}") from None
    return [
        Mistake(".".join(map(str, error.instance_path)), _cut(error.message))
        for error in validator.iter_errors(dict(values))
    ]


def check_values(form: Mapping[str, object], given: Mapping[str, object], where: str) -> dict[str, object]:
    """The values that the form is filled with. Raises UsageError with all that is wrong; `where` says whose form it is."""
    values = fill_form(form, given)
    try:
        mistakes = list_mistakes(form, values)
    except UsageError as error:
        raise UsageError(error.what, where=where, hint=error.hint) from None
    if mistakes:
        fields = ", ".join(fields_of(form)) or "none"
        raise UsageError(
            f"what was given is not what the form asks for: {'; '.join(map(str, mistakes[:10]))}",
            where=where,
            hint=f"its fields: {fields}",
        )
    return values


def _list_strange_kinds(form: Mapping[str, object], values: Mapping[str, object]) -> list[Mistake]:
    fields = fields_of(form)
    kinds = {name: _kinds_of(fields[name]) for name in values if name in fields}
    return [
        Mistake(name, f"is not of type {' or '.join(map(str, found))}")
        for name, found in kinds.items()
        if found and not any(_is_of(values[name], kind) for kind in found)
    ]


def _kinds_of(field: Mapping[str, Any]) -> list[object]:
    written = field.get("type")
    return (
        [written] if isinstance(written, str) else list(written) if isinstance(written, list | tuple) else []
    )


def _is_of(value: object, kind: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, int | float):
        return kind == "number" or (kind == "integer" and float(value).is_integer())
    names: dict[str, type] = {"array": list, "object": dict, "null": type(None), "string": str}
    return isinstance(value, names[str(kind)]) if kind in names else False


def _write(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _refuse(address: str) -> NoReturn:
    raise ValueError(f"a form refers to itself alone, and nothing is fetched: '{address[:80]}'")


def _check_size(form: Mapping[str, object]) -> None:
    """Raises UsageError for a form whose references would make a look through it longer than anybody means it."""
    if _count(form, form, {}) > MOST_SCHEMAS:
        raise UsageError(f"the form is too large: more than {MOST_SCHEMAS} schemas, its references followed")


def _count(node: object, form: Mapping[str, object], known: dict[str, int]) -> int:
    """The schemas in `node`, its references followed. Raises UsageError for a reference that we can't follow, or not to an end."""
    if isinstance(node, list | tuple):
        return sum(_count(item, form, known) for item in node)
    if not isinstance(node, Mapping):
        return 0
    total = 1 + sum(_count(value, form, known) for key, value in node.items() if key not in _DEFINITIONS)
    for key in _REFERENCES & node.keys():
        total += _count_referred(str(node[key]), form, known)
    return min(total, MOST_SCHEMAS + 1)


def _count_referred(address: str, form: Mapping[str, object], known: dict[str, int]) -> int:
    if address not in known:
        if not address.startswith("#/"):
            raise UsageError(
                f"the form refers to '{address[:80]}'", hint="a form refers to its own parts: #/$defs/NAME"
            )
        known[address] = _UNDER_WAY
        known[address] = _count(_find(form, address), form, known)
    if known[address] == _UNDER_WAY:
        raise UsageError(
            f"the form contains itself: '{address[:80]}'", hint="nobody could fill it in to its end"
        )
    return known[address]


def _find(form: Mapping[str, object], address: str) -> object:
    """What a reference within the form stands for; nothing, where there is nothing."""
    found: Any = form
    for part in address.removeprefix("#").split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _cut(error: object) -> str:
    text = str(error).partition("\n")[0]
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"
