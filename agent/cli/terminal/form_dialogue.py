"""A form, filled in at a terminal: a question a field, asked again until the answer is one. Pure: lines in, lines out."""

import json
from collections.abc import Mapping
from typing import Any

from agent.errors import UsageError
from agent.flow.filled import check_answer
from agent.flow.forms import fields_of, list_mistakes, read_text, required_of

_YES_OR_NO = {"yes": "true", "y": "true", "no": "false", "n": "false", "true": "true", "false": "false"}
_WHOLE = ""  # the name of the only question of a form without fields


class FormDialogue:
    """Asks for one field after the other; `values` is the answer once all of them have one."""

    def __init__(self, title: str, form: Mapping[str, Any]) -> None:
        self.title = title
        self.values: dict[str, object] | None = None
        self._form = form
        self._fields = fields_of(form) or {_WHOLE: {}}
        self._required = required_of(form)
        self._given: dict[str, object] = {}
        self._left = list(self._fields)

    @property
    def introduction(self) -> list[str]:
        """What stands above the first question."""
        about = self._form.get("description")
        return [self.title, *(str(about).splitlines() if about else [])]

    @property
    def prompt(self) -> str:
        """The question whose answer the next line is."""
        name = self._left[0]
        if name == _WHOLE:
            return "a JSON object: "
        field = self._fields[name]
        about = f" - {field['description']}" if field.get("description") else ""
        options = field.get("enum")
        kind = "|".join(map(_write, options)) if isinstance(options, list) else field.get("type", "")
        kind = "true|false" if kind == "boolean" else kind
        kind = "|".join(map(str, kind)) if isinstance(kind, list) else str(kind)
        extra = [kind] if kind else []
        if "default" in field:
            extra.append(f"Enter: {_write(field['default'])}")
        elif name not in self._required:
            extra.append("Enter: nothing")
        more = f" ({', '.join(extra)})" if extra else ""
        return f"{name}{about}{more}: "

    def feed(self, line: str) -> list[str]:
        """Take a line as the answer to the question; what is wrong with it."""
        name, text = self._left[0], line.rstrip("\r\n")
        if name == _WHOLE:
            return self._feed_whole(text)
        field = self._fields[name]
        if text:
            value = read_text(
                field, _YES_OR_NO.get(text.strip().lower(), text) if _is_yes_or_no(field) else text
            )
            mistakes = self._check(name, value)
            if mistakes:
                return mistakes
            self._given[name] = value
        elif name in self._required and "default" not in field:
            return [f"{name} is required"]
        self._left.pop(0)
        return [] if self._left else self._finish()

    def _check(self, name: str, value: object) -> list[str]:
        own = {key: part for key, part in self._form.items() if key in ("$defs", "definitions", "$schema")}
        form = {**own, "properties": {name: self._fields[name]}}
        return [str(mistake) for mistake in list_mistakes(form, {name: value})]

    def _feed_whole(self, text: str) -> list[str]:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            return ["that is no JSON object"]
        self._given = value
        return self._finish()

    def _finish(self) -> list[str]:
        try:
            self.values = check_answer(self._form, self._given, self.title)
        except UsageError as error:
            self._left, self._given = list(self._fields), {}
            return [f"{error.what}; {error.hint}" if error.hint else error.what, "once more:"]
        return []


def _is_yes_or_no(field: Mapping[str, Any]) -> bool:
    return field.get("type") == "boolean" and "enum" not in field


def _write(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
