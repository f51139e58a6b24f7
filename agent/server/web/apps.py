"""`/apps/JOB/APP`: our own page of an app, which lets in who may and leads on to the app's origin."""

import msgspec
from starlette.responses import Response

from agent.server.events import audit
from agent.server.http.admission import address_of
from agent.server.http.app_links import make_link
from agent.server.http.call import Call
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.process.own_url import own_path
from agent.server.web.pages import HTML, render


class AppQuery(msgspec.Struct):
    """Where in the app to go on; empty: to what it opens."""

    to: str = ""


async def open_app(call: Call) -> Response:
    """A page that leads on to the app, by a link that is good once."""
    app = await call.rooms.agents.apps.find(call.text("job"), name=call.text("app"))
    wanted = call.query(AppQuery).to
    caller, path = call.caller, call.request.url.path
    entry = audit.AuditedCall("GET /apps/{job}/{app}", path, address_of(call.request))
    with audit.auditing(entry):
        audit.say_who(caller.name, caller.user, caller.token)
        audit.say_where(call.project.id)
        audit.note(run=app.run, app=app.name)
        url = await make_link(call, app, own_path(wanted) if wanted else "")
    # No redirect: who comes from our form for signing in would be held up by its `form-action 'self'`.
    page = render(call, "app.html", name=app.name, url=url)
    page.headers["Referrer-Policy"] = "no-referrer"
    return page


OPERATIONS = (
    Operation(
        "GET",
        "/apps/{job}/{app}",
        Access.RUNNER,
        open_app,
        query=AppQuery,
        answers={200: HTML},
        documented=False,
        is_page=True,
        is_link=True,
    ),
)
