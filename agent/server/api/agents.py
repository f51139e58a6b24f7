"""`/api/v1/agents`: registration, and what is known of each agent."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError, RefusedError
from agent.seal.identity import PublicIdentity
from agent.server.agents.registry import RegistrationRequest, labels_of
from agent.server.events.views import Moment, time_text
from agent.server.http.admission import count_failure
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.http.rooms import Rooms
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page, part
from agent.server.store import agents, jobs, projects
from agent.server.store.agents import AgentRow
from agent.spec.resources import inventory_from_json
from agent.visible import HIDDEN


class RegistrationBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `agent register` sends."""

    token: str
    name: str
    identity: dict[str, object]
    inventory: dict[str, object]
    labels: list[str] = []
    group: str = ""
    max_jobs: int = 1
    ephemeral: bool = False
    replace: bool = False


class Registered(msgspec.Struct):
    """A new agent, and the server that it signs for."""

    agent: str
    name: str
    server: str


_Label = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=f"^[^{HIDDEN},]+$")]
_Name = Annotated[str, msgspec.Meta(max_length=200, pattern=f"^[^{HIDDEN}]*$")]


class AgentChange(msgspec.Struct, forbid_unknown_fields=True):
    """What an admin says of an agent. What is left out stays; null lets the agent's own word count again.

    `labels` are those beside the machine's own (`linux`, `gpu`, ...); `projects` null: all of them; `address` is where
    the other machines of a job that runs on several reach it, its host name unless said.
    """

    labels: Annotated[list[_Label], msgspec.Meta(max_length=200)] | msgspec.UnsetType | None = msgspec.UNSET
    projects: Annotated[list[str], msgspec.Meta(max_length=1000)] | msgspec.UnsetType | None = msgspec.UNSET
    group: _Name | msgspec.UnsetType = msgspec.UNSET
    max_jobs: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | msgspec.UnsetType | None = msgspec.UNSET
    draining: bool | msgspec.UnsetType = msgspec.UNSET
    address: _Name | msgspec.UnsetType = msgspec.UNSET


class AgentView(msgspec.Struct, kw_only=True):
    """An agent with its machine."""

    id: str
    name: str
    group: str
    labels: list[str]
    status: str
    max_jobs: int
    jobs_held: int
    ephemeral: bool
    software: str
    inventory: dict[str, object]
    created: Moment | None
    last_seen: Moment | None


class Arranged(msgspec.Struct):
    """What admins have said of an agent (AgentChange); null: the agent's own word counts. `projects` null: all."""

    labels: list[str] | None
    projects: list[str] | None
    max_jobs: int | None
    draining: bool
    address: str


class AgentDetails(AgentView, kw_only=True):
    """An agent with the jobs that it holds, its latest figures, and what admins have said of it."""

    jobs: list[str]
    figures: dict[str, object]
    arranged: Arranged


class AgentList(msgspec.Struct):
    """All agents."""

    agents: list[AgentView]
    next: Next


async def register_agent(call: Call) -> Response:
    """Spend a registration token on a new agent."""
    body = await call.body(RegistrationBody)
    registration = RegistrationRequest(
        token=body.token,
        name=body.name,
        identity=PublicIdentity.from_json(body.identity),
        inventory=inventory_from_json(body.inventory),
        labels=tuple(body.labels),
        group=body.group,
        max_jobs=body.max_jobs,
        is_ephemeral=body.ephemeral,
        replace=body.replace,
    )
    try:
        row, replaced = await call.rooms.agents.registry.register(registration)
    except RefusedError as error:
        raise count_failure(call.request, call.rooms, error) from None
    if replaced is not None:
        await _let_go(call.rooms, replaced, "its agent was replaced by a new registration")
    return view_response(Registered(row.id, row.name, call.rooms.process.folder.server_id), 201)


async def list_agents(call: Call) -> Response:
    """All agents by name."""
    async with call.rooms.database.read() as connection:
        found = await agents.list_agents(connection)
        held = Counter(job.agent or "" for job in await jobs.list_active(connection))
        connected = await call.rooms.agents.peers.connected(connection)
    rows, after = part(found, call.query(Page), lambda row: row.name, str)
    shown = [AgentView(**_fields(row, held[row.id], is_online=row.id in connected)) for row in rows]
    return view_response(AgentList(shown, after))


async def show_agent(call: Call) -> Response:
    """One agent with its machine; of the jobs that it holds and its projects, those that the caller may see."""
    async with call.rooms.database.read() as connection:
        row = await agents.find_agent(connection, call.text("agent"))
        if row is None:
            raise NotFoundError("there is no such agent")
        held = await jobs.list_active(connection, row.id)
        connected = await call.rooms.agents.peers.connected(connection)
        noted = await agents.find_figures(connection, row.id)
        names = await projects.names(connection)
    shown = [job.id for job in held if call.caller.role_in(job.project)]
    figures = dict(call.rooms.agents.heartbeats.figures_of(row.id)) or noted
    fields = _fields(row, len(held), is_online=row.id in connected)
    visible = {project: name for project, name in names.items() if call.caller.role_in(project)}
    return view_response(
        AgentDetails(**fields, jobs=shown, figures=figures, arranged=_arranged(row, visible))
    )


async def change_agent(call: Call) -> Response:
    """Say what an agent may be given, whatever it says itself; it need not register again."""
    body, agent = await call.body(AgentChange), call.text("agent")
    values: dict[str, object] = {
        column: given
        for column, given in (
            ("set_max_jobs", body.max_jobs),
            ("group_name", body.group),
            ("set_draining", body.draining),
            ("address", body.address),
        )
        if given is not msgspec.UNSET
    }
    if body.labels is not msgspec.UNSET:
        values["set_labels"] = None if body.labels is None else json.dumps(body.labels)
    if body.projects is not msgspec.UNSET:
        values["projects"] = await _project_ids(call, body.projects)
    if values and not await call.rooms.agents.registry.arrange(agent, values):
        raise NotFoundError("there is no such agent")
    await call.rooms.agents.hub.refresh(agent)
    return await show_agent(call)


async def _project_ids(call: Call, names: list[str] | None) -> str | None:
    """The projects of these names as the column holds them. Raises NotFoundError."""
    if names is None:
        return None
    found = []
    async with call.rooms.database.read() as connection:
        for name in names:
            row = await projects.find_by_name(connection, name)
            if row is None:
                raise NotFoundError(f"there is no project '{name}'", where="projects")
            found.append(row.id)
    return json.dumps(sorted(found))


async def remove_agent(call: Call) -> Response:
    """End an agent's identity; the jobs that it holds are lost."""
    agent = call.text("agent")
    if not await call.rooms.agents.registry.remove(agent):
        raise NotFoundError("there is no such agent")
    await _let_go(call.rooms, agent, "its agent was removed")
    return empty_response()


def _arranged(row: AgentRow, project_names: Mapping[int, str]) -> Arranged:
    own_projects: list[str] | None = None
    if row.projects is not None:
        own_projects = [project_names[one] for one in json.loads(row.projects) if one in project_names]
    labels = None if row.set_labels is None else json.loads(row.set_labels)
    return Arranged(labels, own_projects, row.set_max_jobs, row.set_draining, row.address)


async def _let_go(rooms: Rooms, agent: str, reason: str) -> None:
    """What an agent leaves behind whose identity has ended: its connection closes, its jobs are lost."""
    rooms.agents.heartbeats.forget(agent)
    await rooms.agents.leases.forsake(agent, set(), reason)


def _fields(row: AgentRow, jobs_held: int, *, is_online: bool) -> dict[str, Any]:
    status = "offline" if not is_online else "draining" if row.is_draining or row.set_draining else "online"
    return {
        "id": row.id,
        "name": row.name,
        "group": row.group_name,
        "labels": list(labels_of(row)),
        "status": status,
        "max_jobs": min(row.max_jobs, row.set_max_jobs or row.max_jobs),
        "jobs_held": jobs_held,
        "ephemeral": row.is_ephemeral,
        "software": row.software,
        "inventory": json.loads(row.inventory),
        "created": time_text(row.created_at),
        "last_seen": time_text(row.last_seen_at),
    }


_PATH = f"{V1}/agents"
OPERATIONS = (
    Operation(
        "POST",
        f"{_PATH}/register",
        Access.REGISTRATION,
        register_agent,
        body=RegistrationBody,
        answers={201: Registered},
        problems=(403,),
    ),
    Operation("GET", _PATH, Access.MEMBER, list_agents, query=Page, answers={200: AgentList}),
    Operation("GET", f"{_PATH}/{{agent}}", Access.MEMBER, show_agent, answers={200: AgentDetails}),
    Operation(
        "PATCH",
        f"{_PATH}/{{agent}}",
        Access.ORGANISATION,
        change_agent,
        body=AgentChange,
        answers={200: AgentDetails},
    ),
    Operation("DELETE", f"{_PATH}/{{agent}}", Access.ORGANISATION, remove_agent),
)
