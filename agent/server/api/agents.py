"""`/api/v1/agents`: registration, and what is known of each agent."""

import msgspec
from starlette.responses import Response

from agent.errors import RefusedError
from agent.seal.identity import PublicIdentity
from agent.server.agents.administration import AgentChange
from agent.server.agents.agent_reading import AgentDetails, AgentView
from agent.server.agents.registry import RegistrationRequest
from agent.server.http.admission import count_failure
from agent.server.http.call import Call, empty_response, view_response
from agent.server.http.operation import V1, Operation
from agent.server.people.auth.access import Access
from agent.server.process.paging import Next, Page
from agent.spec.resources import inventory_from_json


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
        agent = await call.rooms.agents.administration.register(registration)
    except RefusedError as error:
        raise count_failure(call.request, call.rooms, error) from None
    return view_response(Registered(agent, body.name, call.rooms.process.folder.server_id), 201)


async def list_agents(call: Call) -> Response:
    """All agents by name."""
    return view_response(AgentList(*await call.rooms.agents.reading.list_agents(call.query(Page))))


async def show_agent(call: Call) -> Response:
    """One agent with its machine; of the jobs that it holds and its projects, those that the caller may see."""
    return view_response(await call.rooms.agents.reading.load(call.text("agent"), call.caller))


async def change_agent(call: Call) -> Response:
    """Say what an agent may be given, whatever it says itself; it need not register again."""
    body, agent = await call.body(AgentChange), call.text("agent")
    await call.rooms.agents.administration.arrange(agent, body)
    return await show_agent(call)


async def remove_agent(call: Call) -> Response:
    """End an agent's identity; the jobs that it holds are lost."""
    await call.rooms.agents.administration.remove(call.text("agent"))
    return empty_response()


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
