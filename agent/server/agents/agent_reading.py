"""Agents as they are looked at: what each is, how it stands, and what it holds."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from agent.errors import NotFoundError
from agent.server.agents.gpu_metrics import render_gpus
from agent.server.agents.heartbeats import Heartbeats
from agent.server.agents.peers import Peers
from agent.server.agents.registry import labels_of
from agent.server.people.auth.access import Caller
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.store import agents, jobs, projects
from agent.server.store.agents import AgentRow
from agent.server.store.database import Database
from agent.server.store.jobs import JobRow

STATES: Final = ("online", "draining", "offline")


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


@dataclass(frozen=True, slots=True)
class AgentAtWork:
    """An agent, and the key by id of each of its jobs that the caller may see."""

    agent: AgentView
    jobs: Mapping[str, str]


class AgentReading:
    """Reads agents. Each call is one snapshot."""

    def __init__(self, database: Database, peers: Peers, heartbeats: Heartbeats) -> None:
        self._database = database
        self._peers = peers
        self._heartbeats = heartbeats

    async def list_agents(self, page: Page) -> tuple[list[AgentView], str | None]:
        """All agents by name."""
        found = await self._look()
        rows, after = part(found.rows, page, lambda row: row.name, str)
        return [found.view(row) for row in rows], after

    async def list_at_work(self, caller: Caller) -> list[AgentAtWork]:
        """All agents by name, with the jobs that they hold in projects of the caller's."""
        found = await self._look()
        visible: dict[str, dict[str, str]] = {}
        for job in found.held:
            if caller.role_in(job.project) is not None:
                visible.setdefault(job.agent or "", {})[job.id] = job.key
        return [AgentAtWork(found.view(row), visible.get(row.id, {})) for row in found.rows]

    async def load(self, agent: str, caller: Caller) -> AgentDetails:
        """One agent; of its jobs and projects those that the caller may see. Raises NotFoundError."""
        async with self._database.read() as connection:
            row = await agents.find_agent(connection, agent)
            if row is None:
                raise nothing_such()
            held = await jobs.list_active(connection, row.id)
            connected = await self._peers.connected(connection)
            noted = await agents.find_figures(connection, row.id)
            names = await projects.names(connection)
        visible = {project: name for project, name in names.items() if caller.role_in(project)}
        return AgentDetails(
            **_fields(row, len(held), is_online=row.id in connected),
            jobs=[job.id for job in held if caller.role_in(job.project)],
            figures=dict(self._heartbeats.figures_of(row.id)) or noted,
            arranged=_arranged(row, visible),
        )

    async def list_gpus(self) -> dict[str, dict[str, Any]]:
        """By agent's id what its machine's GPUs are, and why which of them is withheld: what changes while it is connected."""
        async with self._database.read() as connection:
            rows = await agents.list_agents(connection)
        return {row.id: {"id": row.id, "name": row.name, "gpus": _list_gpus(row)} for row in rows}

    async def count_by_state(self) -> dict[str, int]:
        """How many agents are in each of the `STATES`."""
        found = await self._look()
        counts = Counter(_state(row, is_online=row.id in found.connected) for row in found.rows)
        return {state: counts[state] for state in STATES}

    async def render_gpus(self) -> bytes:
        """The GPUs of the agents that are connected, for Prometheus."""
        async with self._database.read() as connection:
            connected = await self._peers.connected(connection)
            noted = await agents.list_figures(connection, connected)
        figures = {name: dict(self._heartbeats.figures_of(id_)) or said for id_, name, said in noted}
        return render_gpus(figures)

    async def _look(self) -> "_Fleet":
        async with self._database.read() as connection:
            return _Fleet(
                await agents.list_agents(connection),
                await jobs.list_active(connection),
                await self._peers.connected(connection),
            )


class _Fleet:
    """All agents at one moment, the jobs that they hold, and which of them are connected."""

    def __init__(self, rows: Sequence[AgentRow], held: Sequence[JobRow], connected: Collection[str]) -> None:
        self.rows = rows
        self.held = held
        self.connected = connected
        self._counts = Counter(job.agent for job in held)

    def view(self, row: AgentRow) -> AgentView:
        """One of them."""
        return AgentView(**_fields(row, self._counts[row.id], is_online=row.id in self.connected))


def nothing_such() -> NotFoundError:
    """What is said of an agent that is not there."""
    return NotFoundError("there is no such agent")


def _arranged(row: AgentRow, project_names: Mapping[int, str]) -> Arranged:
    own_projects: list[str] | None = None
    if row.projects is not None:
        own_projects = [project_names[one] for one in json.loads(row.projects) if one in project_names]
    labels = None if row.set_labels is None else json.loads(row.set_labels)
    return Arranged(labels, own_projects, row.set_max_jobs, row.set_draining, row.address)


def _fields(row: AgentRow, jobs_held: int, *, is_online: bool) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "group": row.group_name,
        "labels": list(labels_of(row)),
        "status": _state(row, is_online=is_online),
        "max_jobs": min(row.max_jobs, row.set_max_jobs or row.max_jobs),
        "jobs_held": jobs_held,
        "ephemeral": row.is_ephemeral,
        "software": row.software,
        "inventory": json.loads(row.inventory),
        "created": time_text(row.created_at),
        "last_seen": time_text(row.last_seen_at),
    }


def _list_gpus(row: AgentRow) -> list[dict[str, object]]:
    keys = ("index", "uuid", "name", "withheld")
    return [{key: gpu.get(key, "") for key in keys} for gpu in json.loads(row.inventory).get("gpus", ())]


def _state(row: AgentRow, *, is_online: bool) -> str:
    online, draining, offline = STATES
    return offline if not is_online else draining if row.is_draining or row.set_draining else online
