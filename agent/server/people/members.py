"""Members of a project, and which role each has. Each call is one transaction."""

import msgspec

from agent.server.events.changes import Changes
from agent.server.people import accounts
from agent.server.process.paging import Page, part
from agent.server.store import users
from agent.server.store.projects import ProjectRow


class MemberView(msgspec.Struct):
    """A member; `origin` is `set` (by a person) or `claim` (by the sign-in provider)."""

    name: str
    role: str
    origin: str


class ProjectMembers:
    """The members of projects. Admins of the organisation have all rights without being one."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def list_of(self, project: ProjectRow, page: Page) -> tuple[list[MemberView], str | None]:
        """The project's members by name."""
        async with self._changes.database.read() as connection:
            found = await users.list_members(connection, project.id)
        rows, after = part(found, page, lambda row: row.name, str)
        return [MemberView(row.name, row.role, row.origin) for row in rows], after

    async def set_role(self, project: ProjectRow, name: str, role: str | None) -> str:
        """Give a user this role in the project, or (None) none; the user's name. Raises NotFoundError, UsageError."""
        async with self._changes.begin() as change:
            user = await accounts.find_user(change.connection, name)
            await accounts.set_role(change, user, project, role)
        return user.name
