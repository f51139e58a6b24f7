"""The table of a language as a JSON schema, for completion and checks in editors.

It accepts everything that the parser accepts, and is looser where JSON Schema cannot say what the parser knows (which
contexts an expression may use, that ids exist, case of keys). Names and meanings come from the table's own sentences.
"""

from typing import Any, Final

from agent.flow.context_scope import NOWHERE, ContextScope
from agent.flow.shapes import ANYTHING, Fields, Key, Shape

_EXPRESSION: Final = "\\$\\{\\{"
_QUOTED_TEXT: Final = (
    "^\\$\\{\\{\\s*'"  # a literal in braces is plain text, also where expressions are not allowed
)

Json = dict[str, Any]


def make_schema(shape: Shape, about: str) -> Json:
    """The language whose files have that shape as JSON Schema 2020-12; `about` says which it is."""
    writer = _Writer()
    root = writer.write(shape, NOWHERE)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Flow",
        "description": about,
        **root,
        "$defs": writer.definitions,
    }


class _Writer:
    """Writes shapes; each kind of mapping becomes one definition, so that steps can hold steps."""

    def __init__(self) -> None:
        self.definitions: Json = {}
        self._names: dict[tuple[int, bool], str] = {}

    def write(self, shape: Shape, scope: ContextScope) -> Json:
        """The schema of a value of that shape at a place with that scope."""
        if shape is ANYTHING:
            return {}
        choices = self._write_scalars(shape, takes_expression=bool(scope.contexts))
        if shape.items is not None:
            choices.append({"type": "array", "items": self.write(shape.items, scope)})
        choices += [{"$ref": f"#/$defs/{self._define(fields, scope)}"} for fields in shape.mappings]
        return choices[0] if len(choices) == 1 else {"anyOf": choices}

    def _write_scalars(self, shape: Shape, *, takes_expression: bool) -> list[Json]:
        if shape.text:
            return [{"type": ["string", "number", "boolean", "null"]}]
        if shape.filled:
            return [{"type": ["string", "number", "boolean"], "not": {"const": ""}}]
        kinds = [("null", shape.null), ("boolean", shape.boolean), ("number", shape.number)]
        choices: list[Json] = [{"type": kind} for kind, takes in kinds if takes]
        if shape.words:
            choices.append({"enum": list(shape.words)})
        if takes_expression:
            choices.append({"type": "string", "pattern": _EXPRESSION})
        elif shape.words:
            choices.append({"type": "string", "pattern": _QUOTED_TEXT})
        return choices

    def _define(self, fields: Fields, scope: ContextScope) -> str:
        identity = (id(fields), bool(scope.contexts))
        if identity not in self._names:
            name = fields.name.replace(" ", "-")
            number = 2
            while name in self.definitions:
                name = f"{fields.name.replace(' ', '-')}-{number}"
                number += 1
            self._names[identity] = name
            self.definitions[name] = {}  # taken, before a step in a step asks for it
            self.definitions[name] = self._write_fields(fields, scope)
        return self._names[identity]

    def _write_fields(self, fields: Fields, scope: ContextScope) -> Json:
        written: Json = {
            "type": "object",
            "properties": {key.name: self._write_key(key, scope) for key in fields.keys.values()},
            "additionalProperties": False,
        }
        if fields.entries is not None:
            inner = scope.joined(fields.entry_scope)
            written["additionalProperties"] = self.write(fields.entries, inner)
            written["propertyNames"] = {"minLength": 1}
        if scope.contexts:  # a key may be `${{ insert }}`, and then anything may come from it
            written["patternProperties"] = {_EXPRESSION: {}}
        required = [key.name for key in fields.keys.values() if key.required]
        if required and scope.contexts:
            no_expression_key = {"propertyNames": {"not": {"pattern": _EXPRESSION}}}
            written["anyOf"] = [{"required": required}, {"not": no_expression_key}]
        elif required:
            written["required"] = required
        return written

    def _write_key(self, key: Key, scope: ContextScope) -> Json:
        return {"description": key.about, **self.write(key.shape, scope.joined(key.scope))}
