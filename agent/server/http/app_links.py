"""Links into apps of jobs, for who may use them: from our pages and the command line to the app's own origin."""

from urllib.parse import urlencode

from agent.errors import RefusedError
from agent.server.agents.app_reading import KnownApp
from agent.server.http.call import Call
from agent.server.process.apps_origin import make_label
from agent.spec.apps import TOKEN_MARK

ENTER = "/.flow/enter"  # on each app's origin


async def make_link(call: Call, app: KnownApp, to: str = "") -> str:
    """The address that lets the caller's browser in, once, and leads on to the path `to`; empty: to what the app opens.

    Raises RefusedError for who may not, or where apps have no origin; ConflictError for a job that does not run.
    """
    origin = call.rooms.process.apps_origin
    job = await call.rooms.agents.permits.find(app.job, call.caller, app.name)
    if origin is None:
        raise RefusedError(
            "this server has no address under which browsers find apps",
            hint=f"`agent run forward {app.run} {app.name}` leads there; its operator can set AGENT_APPS_URL",
        )
    code = await call.rooms.people.app_visits.make_link(call.caller, app.key, job.project)
    token = call.rooms.people.app_tokens.make(app.job, job.lease, app.place)
    query = urlencode({"code": code, "to": to or app.opens.replace(TOKEN_MARK, token)})
    return f"{origin.url_of(make_label(app.job, app.place, app.name))}{ENTER}?{query}"
