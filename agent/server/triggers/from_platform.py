"""Starts by platform events: the flows of the project that wait for them, at their default branch or as stored."""

import json
from collections.abc import Mapping

from agent.errors import AgentError
from agent.flow.filters import Happening, explain_mismatch
from agent.plan.request import RunRequest
from agent.server.runs.runs import Submission
from agent.server.store import flows, repositories
from agent.server.store.database import Connection, Database
from agent.server.store.deliveries import DeliveryRow, OriginRow
from agent.server.store.flows import FlowRow
from agent.server.store.run_branches import RunBranch
from agent.server.triggers.delivery import items, part, text
from agent.server.triggers.known import explain_flow_error, read_known
from agent.server.triggers.starting import Result, Starter
from agent.spec.job import Source, SourceKind


async def start_from_platform(
    database: Database, starter: Starter, row: DeliveryRow, content: Mapping[str, object]
) -> list[Result]:
    """Start the flows that wait for the event; of the others, why not."""
    async with database.read() as connection:
        waiting = await flows.list_waiting_for(connection, row.project, row.event)
        if row.scope.startswith("repo_"):
            waiting = [flow for flow in waiting if flow.repository == row.scope]
        sources = {flow.id: await find_source(connection, flow) for flow in waiting}
    event = _read_event(row, content)
    results = []
    for flow in waiting:
        why = _explain(flow, event)
        if why is not None:
            results.append(Result(flow.name, row.event, why=why))
            continue
        results.append(
            await starter.start(
                make_submission(
                    flow,
                    sources[flow.id],
                    row.event,
                    f"delivery/{row.id}/{flow.id}",
                    payload=_mapping(part(content, "payload")),
                    actor=text(content, "actor") or "flow-agent",
                    delivery=row.id,
                    depth=row.depth,
                )
            )
        )
    return results


async def find_source(connection: Connection, flow: FlowRow) -> Source:
    """The code that a run of the flow works on: its repository's default branch as last seen, or none."""
    if flow.repository is None:
        return Source()
    row = await repositories.find_repository(connection, flow.repository)
    if row is None:
        return Source()
    ref = f"refs/heads/{row.default_branch}"
    return Source(SourceKind.GIT, url=row.url, ref=ref, commit=row.head)


def make_submission(
    flow: FlowRow,
    source: Source,
    event: str,
    key: str,
    *,
    payload: Mapping[str, object],
    actor: str,
    delivery: int | None = None,
    depth: int = 0,
) -> Submission:
    """The submission of a flow that the server knows; `source` is what its repository's mirror has, none of a stored flow."""
    branch = None
    if flow.repository is not None and source.commit:
        branch = RunBranch(flow.repository, source.ref, source.commit, scope=source.ref)
    return Submission(
        flow.name,
        flow.text,
        flow.dialect,
        RunRequest(event=event, payload=payload, source=source, actor=actor, is_by_itself=True),
        called=json.loads(flow.called),
        project=flow.project,
        branch=branch,
        origin=OriginRow(
            run=0,
            start=key,
            delivery=delivery,
            repository=flow.repository,
            flow=flow.name,
            commit=source.commit,
            is_trusted=True,
            depth=depth,
        ),
    )


def _read_event(row: DeliveryRow, content: Mapping[str, object]) -> Happening:
    return Happening(
        row.event,
        ref=text(content, "ref"),
        action=row.action,
        workflow=text(content, "workflow"),
        names=tuple(str(name) for name in items(content, "names")),
        versions=tuple(str(version) for version in items(content, "versions")),
    )


def _explain(flow: FlowRow, event: Happening) -> str | None:
    """None: it starts."""
    try:
        trigger = read_known(flow).trigger(event.name)
    except AgentError as error:
        return "; ".join(explain_flow_error(error))
    if trigger is None:
        return f"it does not wait for '{event.name}' any more"
    return explain_mismatch(trigger, event) or None


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def dump_content(payload: Mapping[str, object], actor: str) -> str:
    """The content of a delivery that a person or program sent through the API."""
    return json.dumps({"payload": dict(payload), "actor": actor})
