"""Secrets and variables as they are set: by level and name, one mechanism for both. Each call is one transaction.

What jobs get of them is `levels`' and `vault`'s.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from agent.errors import NotFoundError
from agent.server.events.changes import Changes
from agent.server.people.vault import Vault, check_name, check_room, check_value
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, part
from agent.server.store import settings
from agent.server.store.database import Connection
from agent.server.store.settings import Level, SecretRow, VariableRow


class SecretView(msgspec.Struct):
    """A secret: where it is set, who may use it, and when it was set."""

    name: str
    level: str
    environment: str
    refs: list[str]
    updated: Moment | None


class VariableView(msgspec.Struct):
    """A variable, and where it is set."""

    name: str
    value: str
    level: str
    environment: str
    updated: Moment | None


class _Row(Protocol):
    @property
    def key(self) -> tuple[int, str, str]: ...


R = TypeVar("R", bound=_Row)
V = TypeVar("V", bound=msgspec.Struct)


class NamedValues(ABC, Generic[R, V]):
    """What has a name, and a value at each level that sets it."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def list_of(self, project: int, page: Page) -> tuple[list[V], str | None]:
        """Those that the project sees, of all levels; of project 0 the organisation's."""
        async with self._changes.database.read() as connection:
            found = await self._list(connection, project)
        rows, after = part(found, page, lambda row: row.key, tuple[int, str, str])
        return [self._view(row) for row in rows], after

    async def remove(self, level: Level, name: str) -> None:
        """Forget one. Raises NotFoundError."""
        async with self._changes.begin() as change:
            await self._remove(change.connection, level, name)

    @abstractmethod
    async def _list(self, connection: Connection, project: int) -> list[R]: ...

    @abstractmethod
    async def _remove(self, connection: Connection, level: Level, name: str) -> None: ...

    @abstractmethod
    def _view(self, row: R) -> V: ...


class StoredSecrets(NamedValues[SecretRow, SecretView]):
    """Secrets: names are shown, values never."""

    def __init__(self, changes: Changes, vault: Vault) -> None:
        super().__init__(changes)
        self._vault = vault

    async def put(self, level: Level, name: str, value: str, refs: Sequence[str]) -> str:
        """Set one, for runs on refs that `refs` are patterns of (none: all): its name as it is stored. Raises UsageError."""
        async with self._changes.begin() as change:
            return await self._vault.put(change.connection, level, name, value, refs=refs, now=change.now)

    async def _list(self, connection: Connection, project: int) -> list[SecretRow]:
        return await settings.list_secrets(connection, project)

    async def _remove(self, connection: Connection, level: Level, name: str) -> None:
        await self._vault.remove(connection, level, name)

    def _view(self, row: SecretRow) -> SecretView:
        return SecretView(
            row.name, row.level.name, row.level.environment, list(row.refs), time_text(row.updated_at)
        )


class StoredVariables(NamedValues[VariableRow, VariableView]):
    """Variables: what flows see as `vars.NAME`."""

    async def put(self, level: Level, name: str, value: str) -> str:
        """Set one: its name as it is stored. Raises UsageError."""
        name = check_name(name, "variable")
        async with self._changes.begin() as change:
            count = await settings.count_variables(change.connection, level, but=name)
            check_room(level, count, "variables")
            value = check_value(value, name, "variable")
            await settings.put_variable(change.connection, level, name, value, change.now)
        return name

    async def _list(self, connection: Connection, project: int) -> list[VariableRow]:
        return await settings.list_variables(connection, project)

    async def _remove(self, connection: Connection, level: Level, name: str) -> None:
        if not await settings.remove_variable(connection, level, name.upper()):
            raise NotFoundError(f"there is no variable '{name[:80]}' at this level", where=level.name)

    def _view(self, row: VariableRow) -> VariableView:
        level = row.level
        return VariableView(row.name, row.value, level.name, level.environment, time_text(row.updated_at))
