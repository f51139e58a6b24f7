"""Decisions of people about agents: that one is there, what it may be given, and that it is no more."""

import json
from collections.abc import Sequence
from typing import Annotated

import msgspec

from agent.errors import NotFoundError
from agent.server.agents.agent_reading import nothing_such
from agent.server.agents.heartbeats import Heartbeats
from agent.server.agents.hub import Hub
from agent.server.agents.leases import Leases
from agent.server.agents.registry import RegistrationRequest, Registry
from agent.server.store import projects
from agent.server.store.database import Connection, Database
from agent.visible import HIDDEN

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


class Administration:
    """The decisions, each with what follows from it for connections and jobs."""

    def __init__(
        self, database: Database, registry: Registry, hub: Hub, heartbeats: Heartbeats, leases: Leases
    ) -> None:
        self._database = database
        self._registry = registry
        self._hub = hub
        self._heartbeats = heartbeats
        self._leases = leases

    async def register(self, request: RegistrationRequest) -> str:
        """A new agent's id; the jobs of one that it replaces are lost. Raises RefusedError for the token, UsageError."""
        row, replaced = await self._registry.register(request)
        if replaced is not None:
            await self._let_go(replaced, "its agent was replaced by a new registration")
        return row.id

    async def arrange(self, agent: str, wanted: AgentChange) -> None:
        """Say what an agent may be given, whatever it says itself; it need not register again. Raises NotFoundError."""
        values: dict[str, object] = {
            column: given
            for column, given in (
                ("set_max_jobs", wanted.max_jobs),
                ("group_name", wanted.group),
                ("set_draining", wanted.draining),
                ("address", wanted.address),
            )
            if given is not msgspec.UNSET
        }
        if wanted.labels is not msgspec.UNSET:
            values["set_labels"] = None if wanted.labels is None else json.dumps(wanted.labels)
        if wanted.projects is not msgspec.UNSET:
            values["projects"] = await self._find_projects(wanted.projects)
        if values and not await self._registry.arrange(agent, values):
            raise nothing_such()
        await self._hub.refresh(agent)

    async def remove(self, agent: str) -> None:
        """End an agent's identity; the jobs that it holds are lost. Raises NotFoundError."""
        if not await self._registry.remove(agent):
            raise nothing_such()
        await self._let_go(agent, "its agent was removed")

    async def _find_projects(self, names: Sequence[str] | None) -> str | None:
        """The projects of these names as the column holds them. Raises NotFoundError."""
        if names is None:
            return None
        async with self._database.read() as connection:
            return json.dumps(sorted([await _find_project(connection, name) for name in names]))

    async def _let_go(self, agent: str, reason: str) -> None:
        """What an agent leaves behind whose identity has ended: its connection closes, its jobs are lost."""
        self._heartbeats.forget(agent)
        await self._leases.forsake(agent, set(), reason)


async def _find_project(connection: Connection, name: str) -> int:
    row = await projects.find_by_name(connection, name)
    if row is None:
        raise NotFoundError(f"there is no project '{name}'", where="projects")
    return row.id
