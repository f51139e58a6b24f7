"""Projects: made, set up, archived."""

from collections.abc import Mapping

import msgspec

from agent.server.events import audit
from agent.server.events.changes import Change
from agent.server.people.accounts import check_name, find_project
from agent.server.people.auth.access import Caller, check_organisation
from agent.server.process.problems import ConflictError
from agent.server.store import projects, runs
from agent.server.store.projects import DEFAULT, ProjectRow, read_settings

# What one project has at the cost of the others is not for its own admins to say.
ORGANISATIONS_OWN = frozenset(
    {
        "weight",
        "priority",
        "max_running_jobs",
        "max_queued_jobs",
        "max_gpus",
        "max_artifact_bytes",
        "max_cache_bytes",
        "max_snapshot_bytes",
        "max_log_bytes",
        "max_dataset_bytes",
    }
)


async def create_project(change: Change, name: str, settings: Mapping[str, object]) -> ProjectRow:
    """A new project. Raises UsageError, ConflictError when the name is taken."""
    check_name(name, "project")
    audit.note(project=name, settings=dict(settings))
    if await projects.add_project(change.connection, name, read_settings(settings), change.now) is None:
        raise ConflictError(f"there is a project '{name}' already")
    return await find_project(change.connection, name)


async def change_project(
    change: Change,
    project: ProjectRow,
    *,
    settings: Mapping[str, object],
    is_archived: bool | None = None,
    caller: Caller | None = None,
) -> ProjectRow:
    """Change settings one by one (None: no limit), archive the project or open it again.

    `caller` is who asks; None: the operator of the server. Raises UsageError; RefusedError for settings that are the
    organisation's; ConflictError for archiving the first project, or one in which something runs.
    """
    if caller is not None and ORGANISATIONS_OWN & set(settings):
        check_organisation(caller)
    audit.note(project=project.name, settings=dict(settings), archived=is_archived)
    if settings:
        merged = {**msgspec.to_builtins(project.settings), **settings}
        await projects.save_settings(change.connection, project.id, read_settings(merged))
    if is_archived is not None:
        await _check_may_archive(change, project, is_archived=is_archived)
        await projects.mark_archived(change.connection, project.id, change.now if is_archived else None)
    change.wake_queue()
    return await find_project(change.connection, project.name)


async def _check_may_archive(change: Change, project: ProjectRow, *, is_archived: bool) -> None:
    if not is_archived:
        return
    if project.id == DEFAULT:
        raise ConflictError("the first project can't be archived", where=project.name)
    if await runs.has_active(change.connection, project.id):
        raise ConflictError(
            "runs of the project are not over", where=project.name, hint="cancel them first, or wait for them"
        )
