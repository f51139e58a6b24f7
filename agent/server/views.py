"""Rows as the JSON that the API and its event streams show. Times are RFC 3339, UTC."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from agent.server.store.artifacts import ArtifactRow
from agent.server.store.jobs import JobRow
from agent.server.store.records import StepRow
from agent.server.store.runs import RunRow

_LAST_SECOND = 253_402_300_799  # of the year 9999: what lies behind it has no RFC 3339 form


def time_text(seconds: float | None) -> str | None:
    """Seconds since the epoch as `2026-11-21T08:00:00.000Z`."""
    if seconds is None:
        return None
    seconds = min(max(seconds, 0), _LAST_SECOND)
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run_json(row: RunRow) -> dict[str, object]:
    """A run by itself."""
    return {
        "id": row.id,
        "number": row.number,
        "name": row.title,
        "file": row.file,
        "event": row.event,
        "actor": row.actor,
        "source": json.loads(row.source),
        "status": row.status,
        "conclusion": row.conclusion,
        "cancel_reason": row.cancel_reason,
        "created": time_text(row.created_at),
        "started": time_text(row.started_at),
        "finished": time_text(row.finished_at),
    }


def job_json(row: JobRow, agent_names: Mapping[str, str]) -> dict[str, object]:
    """A job by itself."""
    return {
        "id": row.id,
        "run": row.run,
        "key": row.key,
        "name": row.name,
        "status": row.status,
        "conclusion": row.conclusion,
        "waiting": row.waiting,
        "runs_on": json.loads(row.runs_on),
        "agent": agent_names.get(row.agent or ""),
        "agent_id": row.agent,
        "lease": row.lease,
        "cancel_reason": row.cancel_reason,
        "failure_kind": row.failure_kind,
        "message": row.message,
        "outputs": json.loads(row.outputs),
        "machine": None if row.machine is None else json.loads(row.machine),
        "queued": time_text(row.queued_at),
        "started": time_text(row.started_at),
        "finished": time_text(row.finished_at),
    }


def step_json(row: StepRow) -> dict[str, object]:
    """A step as its journal left it last."""
    return {
        "step": row.step,
        "id": row.id,
        "name": row.name,
        "parent": row.parent,
        "state": row.state,
        "outcome": row.outcome,
        "conclusion": row.conclusion,
        "seconds": row.seconds,
        "started": time_text(row.started_at),
        "outputs": json.loads(row.outputs),
    }


def artifact_json(row: ArtifactRow) -> dict[str, object]:
    """A finished artifact."""
    return {
        "id": row.id,
        "run": row.run,
        "job": row.job,
        "name": row.name,
        "size_bytes": row.size_bytes,
        "digest": row.digest,
        "mime_type": row.mime_type,
        "created": time_text(row.created_at),
        "expires": time_text(row.expires_at),
    }
