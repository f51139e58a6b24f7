"""Projects: seen, made, set up, archived."""

from collections.abc import Mapping

import msgspec

from agent.server.events import audit
from agent.server.events.changes import Change, Changes
from agent.server.people.accounts import check_name, find_project
from agent.server.people.auth.access import Caller, check_organisation
from agent.server.people.auth.roles import Role
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.process.problems import ConflictError
from agent.server.store import projects, runs
from agent.server.store.projects import DEFAULT, ProjectRow, ProjectSettings, read_settings

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
        "max_queue_bytes",
        "max_dead_letter_bytes",
    }
)


class ProjectView(msgspec.Struct):
    """A project, and the caller's role in it."""

    id: int
    name: str
    role: str | None
    settings: ProjectSettings
    created: Moment | None
    archived: Moment | None


class Projects:
    """The projects of this server, as callers see them. Each call is one transaction."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def list_visible(self, caller: Caller, page: Page) -> tuple[list[ProjectView], str | None]:
        """The projects that the caller has a role in, by name."""
        async with self._changes.database.read() as connection:
            rows = await projects.list_projects(connection)
        visible = [row for row in rows if caller.role_in(row.id) is not None]
        shown, after = part(visible, page, lambda row: row.name, str)
        return [view_project(row, caller) for row in shown], after

    async def list_roles(self, caller: Caller) -> dict[str, str]:
        """What the caller is in each project, by its name."""
        async with self._changes.database.read() as connection:
            names = await projects.names(connection)
        roles = {name: caller.role_in(project) for project, name in names.items()}
        return {name: role.label for name, role in roles.items() if role is not None}

    async def list_names(self, caller: Caller) -> dict[int, str]:
        """The projects that the caller has a role in: the name of each by its id."""
        async with self._changes.database.read() as connection:
            names = await projects.names(connection)
        return {project: name for project, name in names.items() if caller.role_in(project) is not None}

    async def find(self, name: str) -> ProjectRow | None:
        """The project of this name."""
        async with self._changes.database.read() as connection:
            return await projects.find_by_name(connection, name)

    async def probe(self) -> None:
        """Raises AgentError when the database gives no answer."""
        async with self._changes.database.read() as connection:
            await projects.find_project(connection, DEFAULT)

    async def create(self, name: str, settings: Mapping[str, object], caller: Caller) -> ProjectView:
        """A new project. Raises UsageError, ConflictError when the name is taken."""
        async with self._changes.begin() as change:
            row = await create_project(change, name, settings)
        return view_project(row, caller)

    async def change(
        self, project: ProjectRow, *, settings: Mapping[str, object], is_archived: bool | None, caller: Caller
    ) -> ProjectView:
        """Set the project up, archive it, or open it again. Raises as `change_project` does."""
        async with self._changes.begin() as change:
            row = await change_project(
                change, project, settings=settings, is_archived=is_archived, caller=caller
            )
        return view_project(row, caller)


def view_project(row: ProjectRow, caller: Caller | None) -> ProjectView:
    """A project as the caller sees it; None: the operator of the server."""
    role = Role.ADMIN if caller is None else caller.role_in(row.id)
    return ProjectView(
        id=row.id,
        name=row.name,
        role=None if role is None else role.label,
        settings=row.settings,
        created=time_text(row.created_at),
        archived=time_text(row.archived_at),
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
