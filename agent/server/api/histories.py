"""`/api/v1/histories`: what a project has of the histories of its runs' code."""

from starlette.responses import Response

from agent.server.data.code.histories import HistoryList
from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access


async def show_histories(call: Call) -> Response:
    """Git bundles that newer ones may build upon, and the commits that they have."""
    return view_response(await call.rooms.data.histories.list_newest(call.project.id))


OPERATIONS = (Operation("GET", f"{V1}/histories", Access.RUNNER, show_histories, answers={200: HistoryList}),)
