"""`/api/v1/openapi.json`: what the API is, for programs; `/problems/NAME`: what a problem's type means."""

from starlette.responses import PlainTextResponse, Response

from agent.errors import NotFoundError
from agent.server.http.call import Call
from agent.server.http.operation import TEXT, V1, Media, Operation
from agent.server.people.auth.access import Access
from agent.server.process.problems import KINDS


async def show_document(call: Call) -> Response:
    """This document."""
    document: bytes = call.request.app.state.document
    return Response(document, media_type="application/json", headers={"Cache-Control": "no-cache"})


async def explain_problem(call: Call) -> Response:
    """What a problem's type means, and what to do."""
    for kind in KINDS:
        if kind.name == call.text("problem"):
            return PlainTextResponse(f"{kind.status} {kind.title}\n\n{kind.advice}\n")
    raise NotFoundError("there is no such type of problem")


OPERATIONS = (
    Operation(
        "GET",
        f"{V1}/openapi.json",
        Access.PUBLIC,
        show_document,
        answers={200: Media("application/json")},
    ),
    Operation("GET", "/problems/{problem}", Access.PUBLIC, explain_problem, answers={200: TEXT}),
)
