"""Forms of steps that wait for people, on pages: a field of the form is a field of the page, of the kind that it asks for.

What is filled in goes through the same door as an answer of the API: it is read, checked and stored there.
"""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from agent.errors import UsageError
from agent.flow.forms import fields_of, required_of
from agent.server.http.call import Call
from agent.server.http.forms import read_form
from agent.server.people.auth.roles import Role
from agent.server.process.paging import Page
from agent.server.process.problems import MalformedError
from agent.server.runs.forms import FormView
from agent.server.web.pages import redirect

FIELD = "field."  # before the names of the form's fields: ours have others
STEP = "step"
WHOLE = "whole"  # of a form without fields: all of it, as JSON
_LONG_TEXT = 200  # characters of a text from which on it gets more than a line
_MOST_FORMS = 20


async def show_questions(
    call: Call, run: int, job: str = "", *, filled: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """What the run's jobs, or one of them, ask people, for the template `questions.html`; `filled`: what was sent and not taken."""
    found, _ = await call.rooms.runs.forms.list_of(call.project.id, Page(limit=_MOST_FORMS), run)
    role = call.caller.role_in(call.project.id)
    may_answer = role is not None and role >= Role.RUNNER
    asked = [form for form in found if job in ("", form.job)]
    return [_shown(form, may_answer=may_answer, filled=filled or {}) for form in asked]


async def take_answer(call: Call) -> Response:
    """What a person has filled in on a page."""
    sent = await read_form(call.request)
    job, step = call.text("job"), sent.get(STEP, "")
    if not step.isascii() or not step.isdigit() or len(step) > 9:
        raise MalformedError("the form does not say which step asks", hint="open the page again")
    await call.rooms.runs.forms.answer(job, int(step), _read_values(sent), call.caller.name)
    return redirect(f"/status/jobs/{job}")


def _read_values(sent: Mapping[str, str]) -> dict[str, object]:
    """What was filled in; an empty field was left out. Raises UsageError."""
    whole = sent.get(WHOLE, "").strip()
    if not whole:
        given = {
            name: text.replace("\r\n", "\n") for name, text in sent.items() if text
        }  # browsers send CR LF
        return {name.removeprefix(FIELD): text for name, text in given.items() if name.startswith(FIELD)}
    try:
        values = json.loads(whole)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise UsageError("that is no JSON object", hint='such as {"good": 7}')
    return values


def _shown(form: FormView, *, may_answer: bool, filled: Mapping[str, str]) -> dict[str, Any]:
    is_this = filled.get(STEP) == str(form.step)
    given = filled if is_this else {}
    fields = fields_of(form.form)
    required = required_of(form.form)
    return {
        "job": form.job,
        "key": form.key,
        "step": form.step,
        "title": form.title,
        "about": str(form.form.get("description") or ""),
        "may_answer": may_answer,
        "whole": given.get(WHOLE, ""),
        "fields": [
            _shown_field(name, field, is_required=name in required, given=given.get(f"{FIELD}{name}"))
            for name, field in fields.items()
        ],
    }


def _shown_field(
    name: str, field: Mapping[str, Any], *, is_required: bool, given: str | None
) -> dict[str, Any]:
    """A field as the template draws it: `kind` is text, lines, number, choice or json."""
    options = field.get("enum")
    choices = [_write(option) for option in options] if isinstance(options, list) else []
    kinds = field.get("type", "string")
    (kind, *others) = kinds if isinstance(kinds, list) and kinds else [kinds]
    if kind == "boolean" and not others and not choices:
        choices = ["true", "false"]
    has_default = "default" in field
    value = given if given is not None else _write(field["default"]) if has_default else ""
    return {
        "name": name,
        "input": f"{FIELD}{name}",
        "label": str(field.get("title") or name),
        "about": str(field.get("description") or ""),
        "kind": "choice" if choices else _choose_kind(str(kind) if not others else "", field),
        "choices": choices,
        "value": value,
        "is_required": is_required and not has_default,
        "step": "1" if kind == "integer" else "any",
        "least": _bound(field.get("minimum")),
        "most": _bound(field.get("maximum")),
    }


def _choose_kind(kind: str, field: Mapping[str, Any]) -> str:
    if kind in ("integer", "number"):
        return "number"
    if kind == "string":
        longest = field.get("maxLength")
        return "lines" if isinstance(longest, int) and longest > _LONG_TEXT else "text"
    return "json"


def _bound(value: object) -> str:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _write(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
