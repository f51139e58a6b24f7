"""`/api/v1/forms`: what steps of running jobs ask people for, and `/api/v1/jobs/JOB/answer`."""

from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page
from agent.server.runs.forms import AnswerView, FormView, GivenView


class FormList(msgspec.Struct):
    """Open forms, oldest first; `answered`: of one run, the answers that were given."""

    forms: list[FormView]
    answered: list[GivenView]
    next: Next


class AnswerBody(msgspec.Struct, forbid_unknown_fields=True):
    """What was filled in, by the names of the form's fields; text is read as the kind that the form asks for.

    `step`: the number of the step that asks; not needed where one does.
    """

    values: dict[str, object] = {}
    step: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None


async def list_forms(call: Call) -> Response:
    """The forms of the project that wait for people to fill them in."""
    return await _list(call, None)


async def list_run_forms(call: Call) -> Response:
    """The forms of the run that wait for people to fill them in."""
    return await _list(call, call.number("run"))


async def _list(call: Call, run: int | None) -> Response:
    forms = call.rooms.runs.forms
    found, following = await forms.list_of(call.project.id, call.query(Page), run)
    answered = [] if run is None else await forms.given_of(call.project.id, run)
    return view_response(FormList(found, answered, following))


async def answer_form(call: Call) -> Response:
    """Fill in the form that a step of the job waits for."""
    body = await call.body(AnswerBody)
    forms, job = call.rooms.runs.forms, call.text("job")
    return view_response(await forms.answer(job, body.step, body.values, call.caller.name))


OPERATIONS = (
    Operation("GET", f"{V1}/forms", Access.VIEWER, list_forms, query=Page, answers={200: FormList}),
    Operation(
        "GET",
        f"{V1}/runs/{{run:int}}/forms",
        Access.VIEWER,
        list_run_forms,
        query=Page,
        answers={200: FormList},
    ),
    Operation(
        "POST",
        f"{V1}/jobs/{{job}}/answer",
        Access.RUNNER,
        answer_form,
        body=AnswerBody,
        answers={200: AnswerView},
        problems=(409, 413),
    ),
)
