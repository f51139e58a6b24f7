"""Starts of runs, whatever starts them: what is asked the same, and what is answered."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from starlette.responses import Response

from agent.server.http.call import Call, view_response

# By name: a value, or `{"value": TEXT}`, or `{"id": DATASET}`; all of them may stand under one more `inputs`.
Inputs = dict[
    str, object
]  # any JSON where the flow asks by a form; what else takes what, agent.flow.inputs says
HoldMinutes = Annotated[float, msgspec.Meta(ge=0, le=24 * 60)]


class RunStarted(msgspec.Struct):
    """The run that was started, and where people look at it."""

    run: int
    url: str
    warnings: list[str] = []


def answer_started(call: Call, run: int, warnings: Sequence[str] = ()) -> Response:
    """The answer to who has started a run."""
    return view_response(RunStarted(run, call.page_url(run), list(warnings)), 201)
