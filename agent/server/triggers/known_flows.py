"""Flows that the server knows, as people look after them: seen, stored, forgotten, stopped, started by hand.

A flow is called by its name where it is stored here, and by its number wherever it is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from agent.errors import NotFoundError, UsageError
from agent.server.events.changes import Changes
from agent.server.people.auth.access import Caller
from agent.server.pools import Pool
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.process.problems import ConflictError
from agent.server.store import flows
from agent.server.store.database import Connection
from agent.server.store.flows import FlowRow
from agent.server.triggers.connected import Connected
from agent.server.triggers.dispatching import dispatch, dispatch_at
from agent.server.triggers.from_platform import find_source
from agent.server.triggers.known import check_flow_name, read_stored, store_flow
from agent.server.triggers.starting import Starter

_LONGEST_NUMBER = 17  # digits: what is longer is no id of ours


class ScheduleView(msgspec.Struct):
    """A time of a flow: when it comes next, and what became of it last."""

    cron: str
    timezone: str
    next: Moment | None
    started: Moment | None
    outcome: str


class FlowView(msgspec.Struct, kw_only=True):
    """A flow. `repository` null: it is stored here; else it is as the default branch has it."""

    id: int
    name: str
    title: str
    repository: str | None
    enabled: bool
    problems: list[str]
    schedules: list[ScheduleView]
    updated: Moment | None


class FlowDetails(FlowView, kw_only=True):
    """A flow with its texts."""

    text: str
    dialect: str | None
    called: dict[str, str]  # the texts of the flows that it calls, by reference


@dataclass(frozen=True, slots=True)
class Spec:
    """What a flow is to be instead of its own text."""

    text: str
    dialect: str | None
    called: Mapping[str, str]  # the texts of the flows that it calls, by reference


class KnownFlows:
    """The flows of projects. Each call is one transaction; those about one flow raise NotFoundError. Texts are read on `plans`."""

    def __init__(self, changes: Changes, connected: Connected, starter: Starter, plans: Pool) -> None:
        self._changes = changes
        self._plans = plans
        self._connected = connected
        self._starter = starter

    async def list_of(self, project: int, page: Page) -> tuple[list[FlowView], str | None]:
        """The project's flows, those that are stored here first."""
        async with self._changes.database.read() as connection:
            found = await flows.list_flows(connection, project)
            rows, after = part(found, page, _place, tuple[str, str, int])
            return [FlowView(**await _fields(connection, row)) for row in rows], after

    async def load(self, project: int, flow: str) -> FlowDetails:
        """One flow with its text."""
        async with self._changes.database.read() as connection:
            return await _details(connection, await find_flow(connection, project, _read_name(flow)))

    async def put(
        self, project: int, flow: str, text: str, dialect: str | None, called: Mapping[str, str]
    ) -> FlowDetails:
        """Store a flow under this name, with the texts of the flows that it calls. Raises UsageError, InvalidFlowError."""
        name = check_flow_name(flow)
        read = await self._plans.run(read_stored, name, text, dialect, called)
        async with self._changes.begin() as change:
            await store_flow(change, project, read)
            return await _details(change.connection, await find_flow(change.connection, project, name))

    async def remove(self, project: int, flow: str) -> None:
        """Forget a stored flow; its runs stay. Raises UsageError for a repository's."""
        async with self._changes.begin() as change:
            row = await find_flow(change.connection, project, _read_name(flow))
            if row.repository is not None:
                raise UsageError(
                    "the flow is a repository's: remove its file there",
                    where=row.name,
                    hint=f"or stop it from starting: POST /api/v1/flows/{row.id}/disable",
                )
            await flows.remove_flow(change.connection, row.id)

    async def set_enabled(self, project: int, flow: str, *, is_enabled: bool) -> FlowView:
        """Let a flow start by itself, or no more."""
        async with self._changes.begin() as change:
            row = await find_flow(change.connection, project, _read_name(flow))
            await flows.set_enabled(change.connection, row.id, is_enabled=is_enabled)
            row = await find_flow(change.connection, project, row.id)
            return FlowView(**await _fields(change.connection, row))

    async def dispatch(
        self,
        project: int,
        flow: str,
        inputs: Mapping[str, object],
        by: Caller,
        *,
        jobs: Sequence[str] = (),
        spec: Spec | None = None,
        makes_default: bool = False,
    ) -> int:
        """Start a flow by hand, by its own text or `spec`, which then `makes_default`: its run.

        Raises as `dispatching.dispatch` does, and InvalidFlowError for the spec; what does not start is no default.
        """
        async with self._changes.database.read() as connection:
            row = await find_flow(connection, project, _read_name(flow))
            source = await find_source(connection, row)
        if makes_default and (spec is None or row.repository is not None):
            why = (
                "the flow is a repository's: change its file there"
                if spec
                else "there is no spec to make the default"
            )
            raise UsageError(why, where=row.name)
        if spec is None:
            return await dispatch(self._starter, row, source, inputs, actor=by.name, by=by, jobs=jobs)
        read = await self._plans.run(read_stored, row.name, spec.text, spec.dialect, spec.called)
        once = replace(row, text=spec.text, dialect=spec.dialect, called=json.dumps(dict(spec.called)))
        run = await dispatch(self._starter, once, source, inputs, actor=by.name, by=by, jobs=jobs)
        if makes_default:
            async with self._changes.begin() as change:
                await store_flow(change, project, read)
        return run

    async def dispatch_at(
        self,
        repository: str,
        flow: str,
        ref: str,
        inputs: Mapping[str, object],
        by: Caller,
        jobs: Sequence[str] = (),
    ) -> int:
        """Start a repository's flow, by its path or its file's name, at a branch or tag (empty: the default branch): its run.

        Raises ConflictError for a name that several have, and as `dispatching.dispatch_at` does.
        """
        row = await self._connected.load(repository)
        async with self._changes.database.read() as connection:
            known = await flows.list_flows(connection, row.project, row.id)
        found = [one for one in known if flow in (one.name, one.name.rpartition("/")[2])]
        if not found:
            names = ", ".join(one.name for one in known)
            raise NotFoundError(
                f"the repository has no flow '{flow[:80]}'", where=row.name, hint=f"it has {names or 'none'}"
            )
        if len(found) > 1:
            raise ConflictError(f"several flows are called '{flow}'", hint="give its whole path")
        ref = ref or row.default_branch
        return await dispatch_at(self._connected, self._starter, row, found[0], ref, inputs, by, jobs=jobs)


async def find_flow(connection: Connection, project: int, flow: int | str) -> FlowRow:
    """The project's flow of that number, or the stored one of that name. Raises NotFoundError."""
    if isinstance(flow, int):
        row = await flows.find_flow(connection, flow)
    else:
        row = await flows.find_named(connection, project, None, flow)
    if row is None or row.project != project:
        raise NotFoundError(
            f"there is no flow '{str(flow)[:80]}' in this project", hint="see: agent flow list"
        )
    return row


def _read_name(text: str) -> int | str:
    """A number, or a name: none has digits alone."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER
    return int(text) if is_number else text


def _place(row: FlowRow) -> tuple[str, str, int]:
    """Where a flow stands among the others."""
    return row.repository or "", row.name, row.id


async def _details(connection: Connection, row: FlowRow) -> FlowDetails:
    fields = await _fields(connection, row)
    return FlowDetails(**fields, text=row.text, dialect=row.dialect, called=json.loads(row.called))


async def _fields(connection: Connection, row: FlowRow) -> dict[str, Any]:
    times = await flows.list_schedules(connection, row.id)
    return {
        "id": row.id,
        "name": row.name,
        "title": row.title,
        "repository": row.repository,
        "enabled": row.is_enabled,
        "problems": json.loads(row.problems),
        "schedules": [
            ScheduleView(
                time.cron, time.zone, time_text(time.due_at), time_text(time.started_at), time.outcome
            )
            for time in times
        ],
        "updated": time_text(row.updated_at),
    }
