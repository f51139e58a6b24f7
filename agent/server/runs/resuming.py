"""The next try of a job, with what it goes on from: found when it is queued, in the transaction in which the try before it ended.

Nothing can be added later: only the try that holds a job commits checkpoints (`agent.server.data.checkpoints`).
"""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from agent.flow.expressions import to_text
from agent.server.events.changes import Change
from agent.server.store import checkpoints
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.checkpoints import EndedTry
from agent.spec.checkpoints import RESUME, Checkpoints, ResumeReason, describe_lost
from agent.spec.job import JobSpec


async def find_resumed(change: Change, spec: JobSpec) -> tuple[JobSpec, str]:
    """The specification with the newest checkpoint in it, and what is to be told of that, as JSON; as it is for a first try."""
    if not spec.context(RESUME) or spec.attempt < 2:
        return spec, ""
    before = await checkpoints.find_try_before(change.connection, spec.run, spec.key, spec.attempt)
    newest = await checkpoints.find_newest(change.connection, spec.run, spec.key)
    told = _tell(spec, before, newest)
    if spec.checkpoints is None:
        return spec, json.dumps(told)
    item = None if newest is None else _describe(newest)
    found = json.dumps({**told, "artifact": item})
    path = spec.checkpoints.paths[0] if newest is not None else ""
    return _fill_in(spec, spec.checkpoints, found, path), json.dumps(told)


def _fill_in(spec: JobSpec, written: Checkpoints, found: str, path: str) -> JobSpec:
    resume = {**spec.context(RESUME), "path": path}
    return replace(
        spec, checkpoints=replace(written, found=found), contexts={**spec.contexts, RESUME: resume}
    )


def _tell(spec: JobSpec, before: EndedTry | None, newest: ArtifactRow | None) -> dict[str, Any]:
    """Why the try before ended, when the checkpoint was written, and what was lost since then, in seconds and in words."""
    reason = to_text(spec.context(RESUME).get("reason"))
    written = None if newest is None else _written_at(newest)
    told: dict[str, Any] = {"reason": reason, "written_at": _show(written)}
    if before is None or before.finished_at is None or before.started_at is None:
        return told
    seconds = max(0.0, before.finished_at - max(before.started_at, written or 0.0))
    words = describe_lost(seconds, _show(written), is_known=reason != ResumeReason.LOST)
    return {**told, "lost_seconds": round(seconds, 1), "lost": words}


def _written_at(row: ArtifactRow) -> float:
    return row.created_at - float(json.loads(row.kept).get("age_seconds", 0.0))


def _show(moment: float | None) -> str:
    return "" if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _describe(row: ArtifactRow) -> dict[str, Any]:
    """A checkpoint as the step that brings it back is told."""
    size = json.loads(row.kept).get("size", row.size_bytes)
    return {"id": row.id, "artifact": row.name, "size": size, "tree": row.digest}
