"""The flows that the server knows without asking git: stored ones, and those of default branches.

They are what schedules, platform events, dispatches and named webhooks start. Of each is written down which events it
waits for and when its next times are; what is not valid is written down with its problems and waits for nothing.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from agent.errors import AgentError, UsageError
from agent.flow.called import link_flow
from agent.flow.companions import ReadCompanions, choose_among
from agent.flow.load import load_flow
from agent.flow.model import Flow
from agent.flow.problems import InvalidFlowError
from agent.server.events.changes import Change
from agent.server.runs.platform_events import TRIGGERS
from agent.server.store import flows
from agent.server.store.flows import FlowRow
from agent.server.triggers.timetable import next_time

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_flow_name(name: str) -> str:
    """`name` of a stored flow. Raises UsageError; one of digits alone would be taken for a number."""
    if not _NAME.fullmatch(name) or name.isdigit():
        raise UsageError(f"'{name[:80]}' is no name for a flow", hint="use letters, digits, - . _")
    return name


@dataclass(frozen=True, slots=True)
class StoredFlow:
    """A flow to be stored on the server: its texts, and what they mean."""

    name: str
    text: str
    dialect: str | None
    called: Mapping[str, str]  # the texts of the flows that it calls, by reference
    read: Flow


def read_stored(
    name: str, text: str, dialect: str | None, called: Mapping[str, str] = MappingProxyType({})
) -> StoredFlow:
    """The flow in `text`, to be stored under `name`. Takes time when it is long.

    Raises InvalidFlowError, also for a call that is not valid where any text of a called flow was given; UsageError.
    """
    flow = load_flow(text, name, dialect=dialect, companions=choose_among(called)).flow
    if called:
        link_flow(flow, called)
    return StoredFlow(name, text, dialect, called, flow)


async def store_flow(change: Change, project: int, flow: StoredFlow) -> int:
    """Store a flow on the server; gives its id. Raises UsageError for a schedule that never comes, and for a name that must be its alone."""
    times = _read_times(flow.read, change.now)
    if flow.read.dialect.names_are_unique:
        rows = await flows.list_flows(change.connection, project)
        taken = [row for row in rows if row.title == flow.read.title]
        if any((row.repository, row.name) != (None, flow.name) for row in taken):
            raise _refuse_name(flow.read, taken[0].name)
    return await _put(
        change, project, None, flow.name, flow.text, flow.dialect, flow.read, times, [], flow.called
    )


@dataclass(frozen=True, slots=True)
class FoundFlow:
    """A file of a repository: its text, and the flow that it is, or why it is none."""

    text: str
    read: Flow | AgentError


def read_found(path: str, text: str, companions: ReadCompanions) -> FoundFlow:
    """The file as a flow. Takes time when it is long."""
    try:
        return FoundFlow(text, load_flow(text, path, companions=companions).flow)
    except AgentError as error:
        return FoundFlow(text, error)


def read_known(row: FlowRow) -> Flow:
    """The flow of a row, read again with the texts that were stored with it; not joined to those that it calls. Raises InvalidFlowError."""
    texts = json.loads(row.called)
    return load_flow(row.text, row.name, dialect=row.dialect, companions=choose_among(texts)).flow


async def store_repository_flows(
    change: Change,
    project: int,
    repository: str,
    found: Mapping[str, FoundFlow],
    called: Mapping[str, Mapping[str, str]],
    problems: Mapping[str, str],
) -> None:
    """What a repository's default branch holds now: what was `found` by path, `problems` of files that can't be read.

    `called` are, by path, the texts of the flows that a flow calls.
    """
    for row in await flows.list_flows(change.connection, project, repository):
        if row.name not in found and row.name not in problems:
            await flows.remove_flow(change.connection, row.id)
    rows = await flows.list_flows(change.connection, project)
    taken = {row.title: row.name for row in rows if row.repository != repository}
    for path, file in found.items():
        text, read = file.text, file.read
        try:
            if isinstance(read, AgentError):
                raise read
            if read.dialect.names_are_unique and read.title in taken:
                raise _refuse_name(read, taken[read.title])
            taken.setdefault(read.title, path)
            flow, times = read, _read_times(read, change.now)
        except AgentError as error:
            await _put(change, project, repository, path, text, None, None, {}, explain_flow_error(error))
        else:
            await _put(change, project, repository, path, text, None, flow, times, [], called.get(path))
    for path, problem in problems.items():
        await _put(change, project, repository, path, "", None, None, {}, [problem])


def _refuse_name(flow: Flow, other: str) -> UsageError:
    return UsageError(
        f"the project has a flow '{flow.title}' already: {other}",
        where=flow.file,
        hint="its `name` is one flow's; give this one another",
    )


def explain_flow_error(error: AgentError) -> list[str]:
    """Why a flow can't run, a line for each problem."""
    if isinstance(error, InvalidFlowError):
        return [f"{problem.position}: {problem.message}" for problem in error.problems]
    return [str(error)]


async def _put(
    change: Change,
    project: int,
    repository: str | None,
    name: str,
    text: str,
    dialect: str | None,
    flow: Flow | None,
    times: Mapping[tuple[str, str], float],
    problems: list[str],
    called: Mapping[str, str] | None = None,
) -> int:
    title = flow.title if flow else name
    identifier = await flows.put_flow(
        change.connection,
        project,
        repository,
        name,
        title=title,
        dialect=dialect,
        text=text,
        called=json.dumps(dict(called or {}), sort_keys=True),
        problems=json.dumps(problems),
        now=change.now,
    )
    events = [trigger.event for trigger in flow.triggers] if flow else []
    await flows.set_events(change.connection, identifier, events)
    await _set_times(change, identifier, times)
    return identifier


async def _set_times(change: Change, flow: int, times: Mapping[tuple[str, str], float]) -> None:
    """Schedules that stay keep their next time, so that storing a flow again starts and skips nothing."""
    there = {(row.cron, row.zone) for row in await flows.list_schedules(change.connection, flow)}
    for cron, zone in there - set(times):
        await flows.remove_schedule(change.connection, flow, cron, zone)
    for (cron, zone), due_at in times.items():
        if (cron, zone) not in there:
            await flows.add_schedule(change.connection, flow, cron, zone, due_at)
    change.wake(TRIGGERS)


def _read_times(flow: Flow, now: float) -> dict[tuple[str, str], float]:
    """Each schedule of the flow with its next time. Raises UsageError for one that never comes."""
    wanted: Iterable[tuple[str, str]] = (
        schedule for trigger in flow.triggers for schedule in trigger.schedules
    )
    return {(cron, zone): next_time(cron, zone, now) for cron, zone in wanted}
