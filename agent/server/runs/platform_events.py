"""Platform events, which may start flows: `emit` is all that other rooms need.

| event of `on` | happens when | `ref` for `branches`, `tags` | `action` for `types` |
| --- | --- | --- | --- |
| `workflow_run` | a run was asked for, began, ended | the run's branch, as the server has found it | `requested`, `in_progress`, `completed` |
| `run_finished` | a run ended | the run's branch, as the server has found it | its conclusion: `success`, `failure`, `cancelled` ... |
| `agent_lost` | an agent was silent for too long, and its job is lost | | |
| `artifact_tagged` | a tag was put on an artifact | `refs/tags/TAG` | |
| `dataset_version` | a dataset has a new version | | |

An event is a row of the inbox, written in the transaction that it happened in: neither is there without the other.
Nothing is written when no flow of the project waits for the event. Runs that start each other this way end after
`DEEPEST` links.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import msgspec

from agent import codec
from agent.ids import ENTROPY_BYTES, make_id
from agent.server.events.changes import Change
from agent.server.events.views import view_run
from agent.server.process.moments import time_text
from agent.server.store import deliveries, flows, repositories, run_branches, runs, status_reports
from agent.server.store.run_branches import RunBranch
from agent.server.store.runs import RunRow
from agent.spec.job import Source
from agent.spec.status import RunStatus

TRIGGERS: Final = "triggers"  # the topic of what is to be worked off
DEEPEST: Final = 3  # as at GitHub: a run, which starts a run, which starts a run
PLATFORM: Final = "platform"

_BY_HAND: Final = "workflow_dispatch"  # in the payload of `workflow_run`, whose form is GitHub's
_NOTHING: Mapping[str, object] = MappingProxyType({})
_STATES: Final = {"success": "success", "skipped": "success", "neutral": "success", "failure": "failure"}
_WORDS: Final = {
    "success": "succeeded",
    "failure": "failed",
    "cancelled": "was cancelled",
    "skipped": "was skipped",
}


@dataclass(frozen=True, slots=True)
class PlatformEvent:
    """Something that happened. `payload` becomes `github.event`; the rest is what filters are held against."""

    name: str
    payload: Mapping[str, object] = field(default_factory=lambda: _NOTHING)
    action: str = ""
    ref: str = ""
    workflow: str = ""  # the name of the flow whose run it was
    names: Sequence[str] = ()
    versions: Sequence[str] = ()
    project: int = 1
    run: int | None = None  # the run that caused it, if one did: chains end


async def emit(change: Change, event: PlatformEvent) -> bool:
    """Let the flows that wait for `event` start; whether any does."""
    if not await flows.is_awaited(change.connection, event.project, event.name):
        return False
    origin = None if event.run is None else await deliveries.find_origin(change.connection, event.run)
    depth = 0 if event.run is None else (origin.depth if origin else 0) + 1
    identifier = make_id("event", secrets.token_bytes(ENTROPY_BYTES))
    is_too_deep = depth >= DEEPEST
    await deliveries.add_delivery(
        change.connection,
        project=event.project,
        scope=f"project/{event.project}",
        identifier=identifier,
        replay_key=identifier,
        provider=PLATFORM,
        event=event.name,
        action=event.action,
        subject=event.ref or (f"run/{event.run}" if event.run else ""),
        payload=json.dumps(_dump(event)),
        depth=depth,
        now=change.now,
        outcome=f"{DEEPEST} runs have started each other: the chain ends here" if is_too_deep else None,
    )
    change.wake(TRIGGERS)
    return not is_too_deep


async def tell_of_run(change: Change, run: int, action: str) -> None:
    """The run was asked for (`requested`), began (`in_progress`) or ended (`completed`): flows and its commit are told."""
    origin = await deliveries.find_origin(change.connection, run)
    is_reported = origin is not None and origin.repository is not None and action != "in_progress"
    names = ("workflow_run", "run_finished") if action == "completed" else ("workflow_run",)
    row = await runs.find_run(change.connection, run)
    if row is None:
        return
    if origin is not None and is_reported:
        await _report(change, origin, row)
    branch = await run_branches.find_branch(change.connection, run)
    known = _without_claims(row, branch, is_by_itself=origin is not None)
    for name in names:
        if await flows.is_awaited(change.connection, row.project, name):
            await emit(change, _make_event(name, known, action))


def _without_claims(row: RunRow, branch: RunBranch | None, *, is_by_itself: bool) -> RunRow:
    """The run as others may believe it: where the server has found it, and by hand unless an event started it.

    Flows of the default branch are started by this, and judge by `head_branch`, `head_sha` and `event` what they may do.
    """
    source = codec.parse(Source, row.source, where=f"run {row.id}")
    ref, commit = ("", "") if branch is None else (branch.ref, branch.commit)
    event = row.event if is_by_itself else _BY_HAND
    return replace(row, source=codec.dump(replace(source, ref=ref, commit=commit)), event=event)


def _make_event(name: str, row: RunRow, action: str) -> PlatformEvent:
    return PlatformEvent(
        name,
        _describe_run(row, action),
        action=action if name == "workflow_run" else row.conclusion or "",
        ref=str(json.loads(row.source).get("ref", "")),
        workflow=row.title,
        project=row.project,
        run=row.id,
    )


async def _report(change: Change, origin: deliveries.OriginRow, row: RunRow) -> None:
    """Put the run's state into the outbox of its repository."""
    assert origin.repository is not None
    repository = await repositories.find_repository(change.connection, origin.repository)
    if repository is None or not repository.reports_status:
        return
    is_over = row.status is RunStatus.COMPLETED
    conclusion = row.conclusion or ""
    context = f"{row.title} ({row.event})"
    if await status_reports.is_anothers(change.connection, repository.id, origin, context):
        context = f"{row.title} [{origin.flow}] ({row.event})"
    await status_reports.add_report(
        change.connection,
        repository=repository.id,
        run=row.id,
        commit=origin.commit,
        context=context,
        state=_STATES.get(conclusion, "error") if is_over else "pending",
        description=f"run {row.id} {_WORDS.get(conclusion, conclusion) if is_over else 'was started'}",
        now=change.now,
    )
    change.wake(TRIGGERS)


def _describe_run(row: RunRow, action: str) -> dict[str, object]:
    """The payload of `workflow_run`, in GitHub's shape as far as we have it; and our own words under `run`."""
    source = json.loads(row.source)
    ref = str(source.get("ref", ""))
    return {
        "action": action,
        "workflow": {"name": row.title, "path": row.file},
        "workflow_run": {
            "id": row.id,
            "name": row.title,
            "path": row.file,
            "run_number": row.number,
            "event": row.event,
            "status": "in_progress" if row.status is RunStatus.RUNNING else row.status,
            "conclusion": row.conclusion,
            "head_branch": ref.removeprefix("refs/heads/").removeprefix("refs/tags/"),
            "head_sha": source.get("commit", ""),
            "created_at": time_text(row.created_at),
            "run_started_at": time_text(row.started_at),
            "updated_at": time_text(row.finished_at or row.started_at or row.created_at),
        },
        "run": msgspec.to_builtins(view_run(row)),
    }


def _dump(event: PlatformEvent) -> dict[str, object]:
    return {
        "payload": dict(event.payload),
        "ref": event.ref,
        "workflow": event.workflow,
        "names": list(event.names),
        "versions": list(event.versions),
    }
