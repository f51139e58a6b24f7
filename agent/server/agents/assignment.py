"""The assignment: from an offer to the message that the agent gets, the specification and its secrets, sealed for this lease."""

import json
from collections.abc import Mapping
from dataclasses import replace

from agent.errors import AgentError
from agent.seal.identity import PublicIdentity
from agent.server.agents.leases import Offer
from agent.server.agents.scheduler import ReadyAgent
from agent.server.data.run_scopes import find_scopes
from agent.server.people.auth.app_tokens import AppTokens
from agent.server.people.auth.runtime import JobIdentity, RuntimeTokens
from agent.server.people.id_tokens.claims import may_prove_itself
from agent.server.people.job_secrets import FindJobToken, make_asker
from agent.server.people.levels import nearest
from agent.server.people.vault import Vault
from agent.server.runs import gangs
from agent.server.runs.runs import Runs
from agent.server.runs.sources import find_sources
from agent.server.store import agents, jobs, runs, settings
from agent.server.store.agents import AgentRow
from agent.server.store.database import Connection
from agent.server.store.jobs import JobRow
from agent.spec.apps import sealed_name
from agent.spec.conventions import ID_TOKEN, JOB_TOKEN, RUNTIME_TOKEN
from agent.spec.job import JobSpec
from agent.wire import messages as m
from agent.wire.codec import MAX_TEXT_BYTES, check_sendable
from agent.wire.errors import WireError

_YEAR_SECONDS = 365 * 86_400.0


class Assignments:
    """Makes what agents are sent."""

    def __init__(
        self,
        vault: Vault,
        runtime_tokens: RuntimeTokens,
        app_tokens: AppTokens,
        find_job_token: FindJobToken,
        runs: Runs,
    ) -> None:
        self._vault = vault
        self._runs = runs
        self._app_tokens = app_tokens
        self._runtime_tokens = runtime_tokens
        self._find_job_token = find_job_token

    async def make(
        self, connection: Connection, offer: Offer, ready: Mapping[str, ReadyAgent], now: float
    ) -> m.Assign:
        """The message for `offer`; `ready` are the agents that are connected to any server.

        Raises AgentError when the job's rows can't be read, its agent is gone, what it is brought is not there, or no agent
        could read the message.
        """
        row = await jobs.find_job(connection, offer.job)
        agent = await agents.find_agent(connection, offer.agent)
        if row is None or agent is None:
            raise AgentError("the agent was removed")
        spec = await jobs.load_spec(connection, offer.job)
        if spec.brings:
            spec = await find_sources(connection, spec, row.project)
        if spec.event_apart is not None and not _knows_parts(ready, offer.agent):
            spec = await self._bring_event(connection, spec)
        master = await self._find_master(connection, row, ready)
        token = await self._find_job_token(connection, spec.run)
        message = m.Assign(
            offer.job,
            offer.lease,
            _lead_here(await _add_variables(connection, spec, row.project), token),
            await self._seal(connection, spec, offer, agent, row.project, token, now),
            offer.gpus,
            gangs.place_node(row, master),
        )
        try:
            check_sendable(message)
        except WireError as error:
            raise AgentError(
                f"the job can't be sent to an agent: {error.what}",
                where=error.where,
                hint="outputs of the jobs that it needs, its matrix, inputs and event have to be smaller or simpler",
            ) from None
        return message

    async def _bring_event(self, connection: Connection, spec: JobSpec) -> JobSpec:
        """The specification with its long event in it, for an agent that knows no parts, as far as a message holds it."""
        assert spec.event_apart is not None
        size = spec.event_apart.size_bytes
        if size > MAX_TEXT_BYTES:
            raise AgentError(
                f"the job can't be sent to an agent: its event has {size >> 20} MiB, and the agent is too old for more "
                f"than {MAX_TEXT_BYTES >> 20}",
                hint="upgrade the agent",
            )
        whole = await self._runs.fill_job(connection, spec)
        return replace(whole, event_apart=None)

    async def _find_master(self, connection: Connection, row: JobRow, ready: Mapping[str, ReadyAgent]) -> str:
        """Where the first node of a gang is reached; empty for a job that runs alone."""
        if row.gang is None:
            return ""
        first = await jobs.find_job(connection, row.gang)
        agent = ready.get((first.agent if first else None) or "")
        return "" if agent is None else agent.address

    async def _seal(
        self,
        connection: Connection,
        spec: JobSpec,
        offer: Offer,
        agent: AgentRow,
        project: int,
        token: str,
        now: float,
    ) -> dict[str, bytes]:
        minutes = spec.timeout_minutes + spec.cancel_timeout_minutes
        seconds = min(60 * minutes, _YEAR_SECONDS) if spec.timeout_minutes else _YEAR_SECONDS
        identity = JobIdentity(spec.run, offer.job, offer.lease)
        scope = await _find_scope(connection, spec.run)
        tokens = self._runtime_tokens
        own = {RUNTIME_TOKEN: tokens.mint(identity, scope=scope, lifetime_seconds=seconds, now=now)}
        if await may_prove_itself(connection, spec):
            own[ID_TOKEN] = tokens.mint_for_id_tokens(identity, lifetime_seconds=seconds, now=now)
        for place in range(len(spec.apps)):
            own[sealed_name(place)] = self._app_tokens.make(offer.job, offer.lease, place)
        if token:
            own[JOB_TOKEN] = token  # without one the agent gives the job its runtime token there
        return await self._vault.seal_for(
            connection,
            spec.secrets,
            own=own,
            asker=await make_asker(connection, spec, project),
            identity=PublicIdentity.from_json(json.loads(agent.identity)),
            job=offer.job,
            lease=offer.lease,
        )


def _knows_parts(ready: Mapping[str, ReadyAgent], agent: str) -> bool:
    """Whether the agent fetches long events; one that has just gone gets nothing anyway."""
    return agent not in ready or ready[agent].protocol >= m.EVENT_PARTS_VERSION


def _lead_here(spec: JobSpec, token: str) -> JobSpec:
    """The specification of a job whose `GITHUB_TOKEN` is its runtime token: this server is where it asks for code, and no other host."""
    return spec if token else replace(spec, source=replace(spec.source, is_served=True))


async def _find_scope(connection: Connection, run: int) -> str:
    """Where the run's caches are written; empty: nowhere."""
    row = await runs.find_run(connection, run)
    return "" if row is None else (await find_scopes(connection, row)).write or ""


async def _add_variables(connection: Connection, spec: JobSpec, project: int) -> JobSpec:
    """The specification with its environment's own variables: who plans the run does not see them, as at GitHub."""
    if not spec.environment:
        return spec
    rows = nearest(await settings.list_variables(connection, project), spec.environment)
    own = {row.name: row.value for row in rows.values() if row.level.environment}
    return replace(spec, contexts={**spec.contexts, "vars": {**spec.context("vars"), **own}})
