"""Account backends: over HTTP when logged in, or on the server's own machine in its database.

Both do the same and speak in the same JSON (docs/server.md); on the server's machine nobody need be logged in,
and the server need not run: who may write the data folder is its operator.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from agent.cli.client import Client
from agent.user_folders import user_name

if TYPE_CHECKING:
    from agent.server.events.changes import Change
    from agent.server.store.projects import ProjectRow
    from agent.server.store.users import UserRow

T = TypeVar("T")


class AccountBackend(Protocol):
    """What can be done about users and projects. Each raises AgentError."""

    def list_users(self) -> list[dict[str, Any]]:
        """All users."""
        ...

    def create_user(self, name: str, kind: str, *, admin: bool, password: str | None) -> dict[str, Any]:
        """A new user."""
        ...

    def change_user(self, name: str, **changes: Any) -> dict[str, Any]:
        """Change `admin`, `disabled`, `password`."""
        ...

    def create_token(self, name: str, **limits: Any) -> dict[str, Any]:
        """A token of the user's: `name`, `expires_seconds`, `role`, `project`."""
        ...

    def set_role(self, name: str, project: str, role: str | None) -> None:
        """Give a role in a project, or take it away."""
        ...

    def list_projects(self) -> list[dict[str, Any]]:
        """The projects."""
        ...

    def create_project(self, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """A new project."""
        ...

    def change_project(
        self, name: str, settings: Mapping[str, Any], *, archived: bool | None
    ) -> dict[str, Any]:
        """Change settings, archive or open."""
        ...

    def list_audit(self, limit: int = 50, **filters: Any) -> list[dict[str, Any]]:
        """The newest rows of the audit log."""
        ...


class HttpAccounts:
    """The accounts of a server that one is logged in to."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list_users(self) -> list[dict[str, Any]]:
        """See AccountBackend."""
        return self._client.list_all("/api/v1/users", "users")

    def create_user(self, name: str, kind: str, *, admin: bool, password: str | None) -> dict[str, Any]:
        """See AccountBackend."""
        body = {"name": name, "kind": kind, "admin": admin, "password": password}
        return dict(self._client.post("/api/v1/users", body))

    def change_user(self, name: str, **changes: Any) -> dict[str, Any]:
        """See AccountBackend."""
        return dict(self._client.patch(f"/api/v1/users/{name}", changes))

    def create_token(self, name: str, **limits: Any) -> dict[str, Any]:
        """See AccountBackend."""
        token_name = limits.pop("token_name", "")
        return dict(self._client.post(f"/api/v1/users/{name}/tokens", {"name": token_name, **limits}))

    def set_role(self, name: str, project: str, role: str | None) -> None:
        """See AccountBackend."""
        path = f"/api/v1/projects/{project}/members/{name}"
        if role is None:
            self._client.delete(path)
        else:
            self._client.put(path, {"role": role})

    def list_projects(self) -> list[dict[str, Any]]:
        """See AccountBackend."""
        return self._client.list_all("/api/v1/projects", "projects")

    def create_project(self, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """See AccountBackend."""
        return dict(self._client.post("/api/v1/projects", {"name": name, "settings": dict(settings)}))

    def change_project(
        self, name: str, settings: Mapping[str, Any], *, archived: bool | None
    ) -> dict[str, Any]:
        """See AccountBackend."""
        body = {"settings": dict(settings), "archived": archived}
        return dict(self._client.patch(f"/api/v1/projects/{name}", body))

    def list_audit(self, limit: int = 50, **filters: Any) -> list[dict[str, Any]]:
        """See AccountBackend."""
        return self._client.list_all("/api/v1/audit", "entries", most=limit, **filters)


class LocalAccounts:
    """The accounts on the server's own machine: its database, whether the server runs or not."""

    def __init__(self, place: Path | str) -> None:
        self._place = place

    def list_users(self) -> list[dict[str, Any]]:
        """See AccountBackend."""
        from agent.server.people.users import view_user
        from agent.server.store import users

        return _plain(map(view_user, self._look(lambda change: users.list_users(change.connection))))

    def create_user(self, name: str, kind: str, *, admin: bool, password: str | None) -> dict[str, Any]:
        """See AccountBackend."""
        from agent.server.people import accounts
        from agent.server.people.accounts import read_kind
        from agent.server.people.users import view_user

        def create(change: "Change") -> "Awaitable[UserRow]":
            return accounts.create_user(
                change, name, kind=read_kind(kind), is_admin=admin, password=_hash(password)
            )

        return _plain([view_user(self._change("user create", name, create))])[0]

    def change_user(self, name: str, **changes: Any) -> dict[str, Any]:
        """See AccountBackend."""
        from agent.server.people import accounts
        from agent.server.people.users import view_user

        hashed = _hash(changes.get("password"))

        async def change_it(change: "Change") -> "UserRow":
            user = await accounts.find_user(change.connection, name)
            admin, disabled = changes.get("admin"), changes.get("disabled")
            return await accounts.change_user(
                change, user, is_admin=admin, is_disabled=disabled, password=hashed
            )

        return _plain([view_user(self._change("user set", name, change_it))])[0]

    def create_token(self, name: str, **limits: Any) -> dict[str, Any]:
        """See AccountBackend."""
        from agent.server.people import accounts
        from agent.server.people.auth.roles import read_role
        from agent.server.people.personal_tokens import token_fields

        async def create(change: "Change") -> dict[str, Any]:
            user = await accounts.find_user(change.connection, name)
            project = None
            if limits.get("project"):
                project = await accounts.find_project(change.connection, limits["project"])
            row, token = await accounts.create_personal_token(
                change,
                user,
                name=limits.get("token_name", ""),
                expires_seconds=limits.get("expires_seconds"),
                role=read_role(limits["role"]) if limits.get("role") else None,
                project=project.id if project else None,
            )
            names = {project.id: project.name} if project else {}
            return {**token_fields(row, names), "user": user.name, "token": token}

        return self._change("user token", name, create)

    def set_role(self, name: str, project: str, role: str | None) -> None:
        """See AccountBackend."""
        from agent.server.people import accounts

        async def give(change: "Change") -> None:
            user = await accounts.find_user(change.connection, name)
            row = await accounts.find_project(change.connection, project)
            await accounts.set_role(change, user, row, role)

        self._change("user set-role", name, give)

    def list_projects(self) -> list[dict[str, Any]]:
        """See AccountBackend."""
        from agent.server.people.projects import view_project
        from agent.server.store import projects

        rows = self._look(lambda change: projects.list_projects(change.connection))
        return _plain(view_project(row, None) for row in rows)

    def create_project(self, name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        """See AccountBackend."""
        from agent.server.people import projects
        from agent.server.people.projects import view_project

        row = self._change(
            "project create", name, lambda change: projects.create_project(change, name, settings)
        )
        return _plain([view_project(row, None)])[0]

    def change_project(
        self, name: str, settings: Mapping[str, Any], *, archived: bool | None
    ) -> dict[str, Any]:
        """See AccountBackend."""
        from agent.server.people import accounts, projects
        from agent.server.people.projects import view_project

        async def change_it(change: "Change") -> "ProjectRow":
            row = await accounts.find_project(change.connection, name)
            return await projects.change_project(change, row, settings=settings, is_archived=archived)

        return _plain([view_project(self._change("project set", name, change_it), None)])[0]

    def list_audit(self, limit: int = 50, **filters: Any) -> list[dict[str, Any]]:
        """See AccountBackend."""
        from agent.server.people.audit_reading import find_entries

        return _plain(self._look(lambda change: find_entries(change.connection, filters, limit)))

    def _look(self, work: "Callable[[Change], Awaitable[T]]") -> T:
        from agent.cli.server.serve import with_data

        return with_data(self._place, work)

    def _change(self, action: str, target: str, work: "Callable[[Change], Awaitable[T]]") -> T:
        from agent.cli.server.serve import with_data
        from agent.server.events import audit

        entry = audit.AuditedCall(f"agent server {action}", target, address="", actor="operator")
        entry.notes["account"] = user_name()
        with audit.auditing(entry):
            return with_data(self._place, work)


def _hash(password: str | None) -> str | None:
    from agent.server.people.auth.passwords import hash_password

    return None if password is None else hash_password(password)


def _plain(views: Any) -> list[dict[str, Any]]:
    import msgspec

    shown: Sequence[Any] = msgspec.to_builtins(list(views))
    return [dict(view) for view in shown]
