"""For operators and readmes: `/metrics`, `/readyz`, `/healthz`, `/schema/flow.json`, `/badge/PROJECT/FLOW.svg`."""

import json
import shutil
from functools import cache

from starlette.responses import PlainTextResponse, Response

from agent.errors import AgentError
from agent.server.http.admission import admit
from agent.server.http.call import Call
from agent.server.http.operation import TEXT, Media, Operation
from agent.server.http.rooms import Rooms
from agent.server.people.auth.access import Access, check_role, nothing_there
from agent.server.people.auth.roles import Role
from agent.server.process.metrics import MEDIA_TYPE
from agent.server.runs.badges import draw_badge

_PROBE_KEY = "probe"  # never written: asking for it shows that the blobs' place answers
_BADGE_HEADERS = {
    "Cache-Control": "no-cache, max-age=0",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


async def show_metrics(call: Call) -> Response:
    """The server's figures, for Prometheus."""
    rooms = call.rooms
    jobs, agents = await rooms.runs.jobs.count_open(), await rooms.agents.reading.count_by_state()
    told = rooms.process.metrics.render(jobs, agents) + await rooms.streams.metrics.render()
    told += await rooms.agents.reading.render_gpus()
    return Response(told, media_type=f"{MEDIA_TYPE}; charset=utf-8")


async def check_health(_call: Call) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


async def check_readiness(call: Call) -> Response:
    """Whether it can serve: database, blobs and disk, and that it is not stopping."""
    problems = await find_problems(call.rooms)
    if problems:
        return PlainTextResponse("".join(f"{problem}\n" for problem in problems), 503)
    return PlainTextResponse("ready\n")


async def find_problems(rooms: Rooms) -> list[str]:
    """Why requests had better go to another server, a sentence each."""
    if rooms.bus.is_closing:
        return ["stopping"]
    found = []
    try:
        await rooms.people.projects.probe()
    except AgentError as error:
        found.append(f"database: {error.what}")
    try:
        await rooms.data.blobs.size(_PROBE_KEY)
    except (AgentError, OSError) as error:
        found.append(f"blobs: {error}")
    try:
        free = (await rooms.process.pools.files.run(shutil.disk_usage, rooms.process.folder.root)).free
    except AgentError as error:
        return [*found, f"disk: {error.what}"]
    if free < rooms.process.limits.least_free_bytes:
        found.append(f"disk: {free >> 20} MiB are left for the data folder")
    return found


async def show_flow_schema(_call: Call) -> Response:
    """The JSON schema of flows, for editors."""
    return Response(_flow_schema(), media_type="application/json", headers={"Cache-Control": "max-age=3600"})


async def show_badge(call: Call) -> Response:
    """How the newest run of a flow stands, as a picture."""
    flow = call.text("flow").removesuffix(".svg")
    project = await call.rooms.people.projects.find(call.text("project"))
    if project is None or not project.settings.public_badges:
        caller = (await admit(call.request, call.rooms, Access.MEMBER)).caller
        if project is None:  # who shows no good token can't tell it from one that is not public
            raise nothing_there()
        check_role(caller, Role.VIEWER, project.id, project.name)
    state = await call.rooms.runs.reading.find_state(project.id, flow)
    return Response(draw_badge(flow, state or "no runs"), media_type="image/svg+xml", headers=_BADGE_HEADERS)


@cache
def _flow_schema() -> bytes:
    from agent.flow.load import find_front_end

    return json.dumps(find_front_end().make_schema(), indent=1).encode() + b"\n"


OPERATIONS = (
    Operation("GET", "/healthz", Access.PUBLIC, check_health, answers={200: TEXT}),
    Operation("GET", "/readyz", Access.PUBLIC, check_readiness, answers={200: TEXT, 503: TEXT}),
    Operation("GET", "/metrics", Access.METRICS, show_metrics, answers={200: TEXT}),
    Operation(
        "GET", "/schema/flow.json", Access.PUBLIC, show_flow_schema, answers={200: Media("application/json")}
    ),
    Operation(
        "GET",
        "/badge/{project}/{flow:path}",
        Access.BADGE,
        show_badge,
        answers={200: Media("image/svg+xml")},
        problems=(401, 403),
    ),
)
