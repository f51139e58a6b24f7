"""Sources of the data that a job is brought: found when the job is handed out, from the rows.

What it has come to goes along in the specification (`Bring.found`), and is noted: what was brought to a job, it may fetch.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agent.errors import NotFoundError
from agent.server.store import artifacts
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.database import Connection
from agent.spec.data import Bring, BringKind
from agent.spec.job import JobSpec

Kept = Sequence[tuple[ArtifactRow, str]]


async def find_sources(connection: Connection, spec: JobSpec) -> JobSpec:
    """The specification with what each source has come to. Raises NotFoundError, with the place in the flow."""
    return replace(
        spec, brings=tuple([await find_source(connection, spec.run, each) for each in spec.brings])
    )


async def find_source(connection: Connection, run: int, bring: Bring) -> Bring:
    """What one of them has come to, for a job of `run`. Raises NotFoundError."""
    if bring.kind is BringKind.TEXT:
        return bring
    found: dict[str, Any] = {}
    try:
        found = await _find(connection, run, bring)
    except NotFoundError as error:
        if not bring.is_optional:
            raise NotFoundError(error.what, where=bring.place, hint=error.hint) from None
    return replace(bring, found=json.dumps(found))


def list_brought(spec: JobSpec) -> list[int]:
    """The artifacts that were found for the job."""
    found = [json.loads(bring.found) for bring in spec.brings if bring.found]
    return [item["id"] for each in found for item in each.get("artifacts", ())]


async def _find(connection: Connection, run: int, bring: Bring) -> dict[str, Any]:
    match bring.kind:
        case BringKind.JOB:
            kept = await artifacts.list_kept(connection, run, bring.of)
            return {"artifacts": _choose(kept, bring.name, f"job '{bring.of}'")}
        case _:
            raise NotFoundError(f"this server can't bring a {bring.kind} yet")


def _choose(kept: Kept, name: str, whose: str) -> list[dict[str, Any]]:
    """Those of the name (empty: all that were kept). Raises NotFoundError when there is none."""
    shown = [_describe(row, key) for row, key in kept]
    chosen = (
        [item for item in shown if name in (item["label"], item["artifact"])]
        if name
        else [item for item in shown if item["kind"]]
    )
    if chosen:
        return chosen
    there = ", ".join(sorted({item["label"] for item in shown}))
    if name and there:
        raise NotFoundError(f"{whose} has kept no '{name}'", hint=f"kept are: {there}")
    raise NotFoundError(f"{whose} has kept nothing", hint="name what it keeps under `keeps`")


def _describe(row: ArtifactRow, key: str) -> dict[str, Any]:
    """An artifact as the step that brings it is told; an upload of an action was kept at no path, and lies at its name."""
    noted = json.loads(row.kept) if row.kept else {}
    return {
        "id": row.id,
        "artifact": row.name,
        "run": row.run,
        "key": key,
        "label": noted.get("label", row.name),
        "path": noted.get("path", row.name),
        "kind": noted.get("kind", ""),
        "is_file": noted.get("is_file", False),
        "size": noted.get("size", row.size_bytes),
        "digest": row.digest,
    }
