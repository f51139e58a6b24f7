"""`/api/v1/agents`: registration, and what is known of each agent."""

import json
from collections import Counter

import msgspec
from starlette.responses import Response

from agent.errors import NotFoundError, RefusedError
from agent.seal.identity import PublicIdentity
from agent.server.call import Call, count_failure, empty_response, json_response
from agent.server.registry import Registration, labels_of
from agent.server.services import Services
from agent.server.store import agents, jobs
from agent.server.store.agents import AgentRow
from agent.server.views import time_text
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


async def register_agent(call: Call) -> Response:
    """Spend a registration token on a new agent."""
    body = await call.body(RegistrationBody)
    registration = Registration(
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
        row, replaced = await call.services.registry.register(registration)
    except RefusedError as error:
        raise count_failure(call.request, call.services, error) from None
    if replaced is not None:
        await _let_go(call.services, replaced, "its agent was replaced by a new registration")
    answer = {"agent": row.id, "name": row.name, "server": call.services.folder.server_id}
    return json_response(answer, 201)


async def list_agents(call: Call) -> Response:
    """All agents by name."""
    async with call.services.database.read() as connection:
        rows = await agents.list_agents(connection)
        held = Counter(job.agent or "" for job in await jobs.list_active(connection))
    return json_response({"agents": [_agent_json(call.services, row, held[row.id]) for row in rows]})


async def show_agent(call: Call) -> Response:
    """One agent with its machine; of the jobs that it holds, those that the caller may see."""
    async with call.services.database.read() as connection:
        row = await agents.find_agent(connection, call.text("agent"))
        if row is None:
            raise NotFoundError("there is no such agent")
        held = await jobs.list_active(connection, row.id)
    return json_response(
        {
            **_agent_json(call.services, row, len(held)),
            "jobs": [job.id for job in held if call.caller.role_in(job.project)],
            "figures": dict(call.services.registry.figures_of(row.id)),
        }
    )


async def remove_agent(call: Call) -> Response:
    """End an agent's identity; the jobs that it holds are lost."""
    agent = call.text("agent")
    if not await call.services.registry.remove(agent):
        raise NotFoundError("there is no such agent")
    await _let_go(call.services, agent, "its agent was removed")
    return empty_response()


async def _let_go(services: Services, agent: str, reason: str) -> None:
    """What an agent leaves behind whose identity has ended: its connection closes, its jobs are lost."""
    services.hub.reject(agent, "unknown_agent", "the agent was removed or replaced")
    await services.leases.forsake(agent, set(), reason)


def _agent_json(services: Services, row: AgentRow, jobs_held: int) -> dict[str, object]:
    is_online = services.hub.is_connected(row.id)
    status = "offline" if not is_online else "draining" if row.is_draining else "online"
    return {
        "id": row.id,
        "name": row.name,
        "group": row.group_name,
        "labels": list(labels_of(row)),
        "status": status,
        "max_jobs": row.max_jobs,
        "jobs_held": jobs_held,
        "ephemeral": row.is_ephemeral,
        "software": row.software,
        "inventory": json.loads(row.inventory),
        "created": time_text(row.created_at),
        "last_seen": time_text(row.last_seen_at),
    }
