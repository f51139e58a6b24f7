"""`/api/v1/step-results/KEY`: what steps of cached actions gave, for the jobs of the project."""

from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from agent.server.data.step_results import StepResultView
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access


class ResultBody(msgspec.Struct, forbid_unknown_fields=True):
    """What the step gave, and its name."""

    outputs: dict[str, Any]
    step: Annotated[str, msgspec.Meta(max_length=200)] = ""


async def find_result(call: Call) -> Response:
    """What an equal step gave."""
    assert call.caller.job is not None
    return view_response(await call.rooms.data.step_results.find(call.caller.job, call.text("digest")))


async def keep_result(call: Call) -> Response:
    """Keep what a step gave, for equal ones."""
    assert call.caller.job is not None
    body = await call.body(ResultBody)
    results = call.rooms.data.step_results
    await results.keep(call.caller.job, call.text("digest"), body.outputs, body.step)
    return empty_response()


_PATH = f"{V1}/step-results/{{digest}}"
OPERATIONS = (
    Operation("GET", _PATH, Access.JOB, find_result, answers={200: StepResultView}),
    Operation("PUT", _PATH, Access.JOB, keep_result, body=ResultBody, problems=(413,)),
)
