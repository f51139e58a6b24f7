"""Sources of the data that a job is brought: found when the job is handed out, from the rows.

What each has come to goes along in the specification (`Bring.found`), and is noted: what was brought to a job, it may fetch.
Those that must be there when a run begins are looked for when it is submitted, too: what isn't there is told before
anything starts.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agent.errors import NotFoundError, UsageError
from agent.flow.expressions import PLANNING, spending
from agent.flow.model import Flow
from agent.plan import RunState
from agent.plan.sources import list_sources
from agent.server.people.auth.access import Caller
from agent.server.store import artifacts, datasets, projects, repositories, run_sources, runs
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.database import Connection
from agent.spec.data import Bring, BringKind
from agent.spec.dataset import LATEST, read_ref, version_number
from agent.spec.job import JobSpec
from agent.spec.run_names import find_number

Kept = Sequence[tuple[ArtifactRow, str]]
_LONGEST_NUMBER = 9  # digits of a run's


@dataclass(frozen=True, slots=True)
class BringAsker:
    """Who is brought something: a job of a run of a project."""

    run: int
    project: int


async def find_sources(connection: Connection, spec: JobSpec, project: int) -> JobSpec:
    """The specification with what each source has come to. Raises NotFoundError, with the place in the flow."""
    asker = BringAsker(spec.run, project)
    return replace(spec, brings=tuple([await find_source(connection, asker, each) for each in spec.brings]))


async def check_sources(connection: Connection, flow: Flow, state: RunState, project: int) -> None:
    """Raises UsageError for the first source that must be there when the run begins, and is not."""
    with spending(PLANNING):
        wanted = list(list_sources(flow, state))
    for bring in wanted:
        try:
            await find_source(connection, BringAsker(state.request.run, project), bring)
        except NotFoundError as error:
            raise UsageError(error.what, where=error.where, hint=error.hint) from None


async def allow_projects(connection: Connection, flow: Flow, run: int, caller: Caller | None) -> None:
    """Note which other projects the run may read: those that whoever starts it may, where its flow names some."""
    if not any(bring.project for each in _walk(flow) for job in each.jobs.values() for bring in job.brings):
        return
    known = [] if caller is None else await projects.list_projects(connection)
    readable = [row.id for row in known if caller is not None and caller.role_in(row.id) is not None]
    await run_sources.set_projects(connection, run, readable)


async def find_source(connection: Connection, asker: BringAsker, bring: Bring) -> Bring:
    """What one of them has come to. Raises NotFoundError."""
    if bring.kind in (
        BringKind.TEXT,
        BringKind.CACHE,
    ):  # the one is itself, the other is asked for by its job
        return bring
    found: dict[str, Any] = {}
    try:
        found = await _find(connection, asker, bring)
    except NotFoundError as error:
        if not bring.is_optional:
            raise NotFoundError(error.what, where=bring.place, hint=error.hint) from None
    return replace(bring, found=json.dumps(found))


def list_brought(spec: JobSpec) -> list[int]:
    """The artifacts that were found for the job."""
    found = [json.loads(bring.found) for bring in spec.brings if bring.found]
    return [item["id"] for each in found for item in each.get("artifacts", ())]


async def _find(connection: Connection, asker: BringAsker, bring: Bring) -> dict[str, Any]:
    project = await _find_project(connection, asker, bring)
    kept: Kept
    match bring.kind:
        case BringKind.JOB:
            kept = await artifacts.list_kept(connection, asker.run, bring.of)
            return {"artifacts": _choose(kept, bring.name, f"job '{bring.of}'")}
        case BringKind.TAG:
            kept = await _find_tagged(connection, project, bring)
            return {"artifacts": _choose(_lasting(kept), bring.name, f"what is tagged '{bring.of}'")}
        case BringKind.LAST:
            run = await _find_last(connection, project, bring)
            kept = await artifacts.list_kept(connection, run, bring.job)
            return {"artifacts": _choose(_lasting(kept), bring.name, f"job '{bring.job}' of run {run}")}
        case BringKind.RUN:
            kept = await artifacts.list_kept(connection, await _find_run(connection, project, bring))
            return {"artifacts": _choose(_lasting(kept), bring.name, f"run '{bring.of}'")}
        case _:
            return {"dataset": await _find_version(connection, asker, project, bring)}


async def _find_project(connection: Connection, asker: BringAsker, bring: Bring) -> int:
    """The project to look in. One that the run may not read is told as one that isn't there."""
    if not bring.project:
        return asker.project
    named = await _list_named(connection, bring.project)
    if asker.project in named:
        return asker.project
    for project in named:
        if await run_sources.may_read(connection, asker.run, project):
            return project
    raise NotFoundError(
        f"there is no project '{bring.project}' that this run may read",
        hint="it may read what the person may who has started it; what starts by itself may read its own project",
    )


async def _list_named(connection: Connection, name: str) -> list[int]:
    """The project of that name; by OWNER/REPO those that this repository is connected to, else the one that is called REPO."""
    owner, slash, own = name.rpartition("/")
    if slash and owner and (found := await repositories.list_projects_of(connection, name)):
        return found
    row = await projects.find_by_name(connection, own.lower() if slash else name)
    return [] if row is None else [row.id]


async def _find_tagged(connection: Connection, project: int, bring: Bring) -> Kept:
    """What the run kept that got the tag last, and each artifact that has it by itself."""
    of_runs = await run_sources.find_tagged(connection, project, "run", bring.of)
    of_artifacts = await run_sources.find_tagged(connection, project, "artifact", bring.of)
    if not of_runs and not of_artifacts:
        raise NotFoundError(
            f"there is no tag '{bring.of}'", hint="`agent tag list` shows those of the project"
        )
    kept = await artifacts.list_kept(connection, of_runs[0].thing, bring.job) if of_runs else []
    known = {row.id for row, _ in kept}
    for tag in of_artifacts:
        row = await artifacts.find_artifact(connection, tag.thing)
        if row is not None and row.id not in known:
            kept.append((row, ""))
    return kept


async def _find_last(connection: Connection, project: int, bring: Bring) -> int:
    run = await run_sources.find_last(connection, project, bring.of, bring.job)
    if run is None:
        has_run = await run_sources.has_flow(connection, project, bring.of)
        reason = "has not succeeded in any run" if has_run else "has never run"
        raise NotFoundError(f"job '{bring.job}' of the flow '{bring.of}' {reason}", hint="run it first")
    return run


async def _find_run(connection: Connection, project: int, bring: Bring) -> int:
    run = (
        int(bring.of) if bring.of.isdecimal() and len(bring.of) <= _LONGEST_NUMBER else find_number(bring.of)
    )
    if run is None or await runs.project_of(connection, run) != project:
        raise NotFoundError(
            f"there is no run '{bring.of[:80]}'", hint="`agent run list` shows those of the project"
        )
    return run


async def _find_version(
    connection: Connection, asker: BringAsker, project: int, bring: Bring
) -> dict[str, Any]:
    if project != asker.project:
        raise NotFoundError(
            f"the dataset '{bring.of}' is another project's, and jobs read those of their own",
            hint="push it to this one, or have its project keep it as an artifact and tag that",
        )
    ref = read_ref(bring.of)
    dataset = await datasets.find_dataset(connection, project, ref.name)
    if dataset is None:
        raise NotFoundError(f"there is no dataset '{ref.name[:80]}'", hint="`agent dataset list` shows them")
    number = version_number(ref.version)
    if number is not None:
        version = await datasets.find_by_number(connection, dataset.id, number)
    elif ref.version == LATEST:
        version = await datasets.find_latest(connection, dataset.id)
    else:
        version = await datasets.find_tagged(connection, dataset.id, ref.version)
    if version is None:
        raise NotFoundError(
            f"there is no version '{ref.version[:80]}' of dataset '{ref.name}'",
            hint=f"`agent dataset show {ref.name}` lists them",
        )
    return {"name": ref.name, "version": version.number, "files": version.files, "size": version.size_bytes}


def _lasting(kept: Kept) -> Kept:
    """A volume is for the jobs of its own run."""
    return [(row, key) for row, key in kept if _read_note(row).get("kind") != "volume"]


def _choose(kept: Kept, name: str, whose: str) -> list[dict[str, Any]]:
    """Those of the name (empty: all). Raises NotFoundError when there is none."""
    shown = [_describe(row, key) for row, key in kept]
    chosen = [item for item in shown if name in ("", item["label"], item["artifact"])]
    if chosen:
        return chosen
    there = ", ".join(sorted({item["label"] for item in shown}))
    if name and there:
        raise NotFoundError(f"{whose} has kept no '{name}'", hint=f"kept are: {there}")
    raise NotFoundError(f"{whose} has kept nothing", hint="name what it keeps under `keeps`")


def _describe(row: ArtifactRow, key: str) -> dict[str, Any]:
    """An artifact as the step that brings it is told; an upload of an action was kept at no path, and lies at its name."""
    noted = _read_note(row)
    return {
        "id": row.id,
        "artifact": row.name,
        "run": row.run,
        "key": key,
        "label": noted.get("label", row.name),
        "path": noted.get("path", row.name),
        "is_file": noted.get("is_file", False),
        "is_zip": row.kept != ""
        or row.mime_type == "application/zip",  # else it is a file that a person has uploaded
        "size": noted.get("size", row.size_bytes),
        # Of a tree its manifest's, which an agent that does not know of trees would hold against its zip.
        **({"digest": "", "tree": row.digest} if row.is_tree else {"digest": row.digest}),
    }


def _read_note(row: ArtifactRow) -> dict[str, Any]:
    noted = json.loads(row.kept) if row.kept else {}
    return noted if isinstance(noted, dict) else {}


def _walk(flow: Flow) -> Iterable[Flow]:
    yield flow
    for called in flow.called.values():
        yield from _walk(called)
