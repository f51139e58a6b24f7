"""`/api/v1/jobs/JOB/apps/APP/link`: a way into an app of a running job, for a browser."""

import msgspec
from starlette.responses import Response

from agent.server.events import audit
from agent.server.http.app_links import make_link
from agent.server.http.call import Call, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.app_visits import LINK_SECONDS
from agent.server.people.auth.access import Access


class AppLink(msgspec.Struct):
    """`url` lets a browser in, once, within `expires_seconds`."""

    url: str
    expires_seconds: int
    job: str
    app: str


async def link_app(call: Call) -> Response:
    """Ask for a link into an app of a running job: good once, for a minute."""
    app = await call.rooms.agents.apps.find(call.text("job"), name=call.text("app"))
    audit.note(run=app.run, app=app.name)
    url = await make_link(call, app)
    return view_response(AppLink(url, int(LINK_SECONDS), app.job, app.name), 201)


OPERATIONS = (
    Operation(
        "POST",
        f"{V1}/jobs/{{job}}/apps/{{app}}/link",
        Access.RUNNER,
        link_app,
        answers={201: AppLink},
        problems=(409,),
    ),
)
