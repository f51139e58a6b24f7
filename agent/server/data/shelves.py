"""Shelves of what can be uploaded and downloaded by signed URLs: artifacts and caches, seen as one kind of thing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import quote

from agent.errors import NotFoundError
from agent.server.data.blobs.store import Written
from agent.server.process.problems import TooLargeError
from agent.server.store import artifacts, caches, projects
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.caches import CacheRow
from agent.server.store.database import Connection
from agent.server.store.projects import ProjectSettings
from agent.server.store.states import UploadStatus

_UNSAFE: Final = re.compile(r'[^\x20-\x7e]|["\\]')


@dataclass(frozen=True, slots=True)
class Stored:
    """One thing: where its bytes are (empty: nowhere yet), and the HTTP headers that say what they are."""

    id: int
    blob: str
    size_bytes: int
    is_final: bool
    headers: Mapping[str, str]
    is_tree: bool = False  # its bytes are a manifest's: `agent.server.data.tree_reading` has what is in it


class Shelf(Protocol):
    """A kind of things. `name` is in its URLs and its keys."""

    @property
    def name(self) -> str:
        """`artifacts`, `caches`."""
        ...

    async def find(self, connection: Connection, number: int) -> Stored:
        """The thing with this id. Raises NotFoundError."""
        ...

    async def limit(self, connection: Connection, stored: Stored, most: int) -> int:
        """How many bytes it may have, `most` at most. Raises TooLargeError when there is no room at all."""
        ...

    def room_of(self, settings: ProjectSettings) -> int | None:
        """How many bytes a project with these settings may have of them; None: no bound."""
        ...

    async def mark_uploaded(self, connection: Connection, number: int, blob: str, written: Written) -> bool:
        """All bytes are there; False when the thing is final or gone."""
        ...


class ArtifactShelf:
    """Artifacts: a project has so much room for them."""

    name = "artifacts"

    async def find(self, connection: Connection, number: int) -> Stored:
        """See `Shelf.find`."""
        row = await artifacts.find_artifact(connection, number)
        if row is None:
            raise NotFoundError("there is no such artifact")
        return stored_artifact(row)

    async def limit(self, connection: Connection, stored: Stored, most: int) -> int:
        """See `Shelf.limit`."""
        project = await artifacts.project_of(connection, stored.id)
        return await self.room(connection, project, most, but=stored.id)

    async def room(self, connection: Connection, project: int | None, most: int, *, but: int = 0) -> int:
        """How many bytes another artifact of `project` may have, `most` at most. Raises TooLargeError when there is no room at all."""
        row = None if project is None else await projects.find_project(connection, project)
        if row is None or row.settings.max_artifact_bytes is None:
            return most
        used = await artifacts.size_of_all(connection, row.id, but=but)
        room = row.settings.max_artifact_bytes
        check_quota(room, used, 1)
        return min(most, room - used)

    def room_of(self, settings: ProjectSettings) -> int | None:
        """See `Shelf.room_of`."""
        return settings.max_artifact_bytes

    async def mark_uploaded(self, connection: Connection, number: int, blob: str, written: Written) -> bool:
        """See `Shelf.mark_uploaded`."""
        return await artifacts.mark_uploaded(connection, number, blob, written.size_bytes, written.digest)


class CacheShelf:
    """Caches: when there is no room the least used ones go (`agent.server.data.job_caches`)."""

    name = "caches"

    async def find(self, connection: Connection, number: int) -> Stored:
        """See `Shelf.find`."""
        row = await caches.find_cache(connection, number)
        if row is None:
            raise NotFoundError("there is no such cache")
        return stored_cache(row)

    async def limit(self, connection: Connection, stored: Stored, most: int) -> int:
        """See `Shelf.limit`."""
        number = await caches.project_of(connection, stored.id)
        project = None if number is None else await projects.find_project(connection, number)
        room = None if project is None else project.settings.max_cache_bytes
        return most if room is None else min(most, room)

    def room_of(self, settings: ProjectSettings) -> int | None:
        """See `Shelf.room_of`."""
        return settings.max_cache_bytes

    async def mark_uploaded(self, connection: Connection, number: int, blob: str, written: Written) -> bool:
        """See `Shelf.mark_uploaded`."""
        return await caches.mark_uploaded(connection, number, blob, written.size_bytes, written.digest)


ARTIFACTS: Final = ArtifactShelf()
CACHES: Final = CacheShelf()
SHELVES: Final[Mapping[str, Shelf]] = {shelf.name: shelf for shelf in (ARTIFACTS, CACHES)}


def check_quota(room: int | None, used: int, needed: int, what: str = "artifacts") -> None:
    """Raises TooLargeError when `needed` bytes more are too many for a project that has used so many of its room (None: any)."""
    if room is not None and used + needed > room:
        # "insufficient usage" is what GitHub's client takes for final, instead of trying again
        raise TooLargeError(
            f"insufficient usage: the project's {what} have {used} of {room} bytes",
            hint="delete some, or ask an admin of the project for more",
        )


def stored_artifact(row: ArtifactRow) -> Stored:
    """An artifact."""
    headers = artifact_headers(row.name, row.mime_type)
    return Stored(row.id, row.blob, row.size_bytes, row.status is UploadStatus.FINAL, headers, row.is_tree)


def artifact_headers(name: str, mime_type: str) -> dict[str, str]:
    """What says what an artifact's bytes are; a zip is saved under a name that says so."""
    file = f"{name}.zip" if mime_type == "application/zip" and not name.endswith(".zip") else name
    return {
        "Content-Type": mime_type,
        "Content-Disposition": f"attachment; filename=\"{_UNSAFE.sub('_', file)}\"; filename*=UTF-8''{quote(file)}",
    }


def stored_cache(row: CacheRow) -> Stored:
    """A cache: an archive of whatever compression its client chose."""
    headers = {"Content-Type": "application/octet-stream", "Content-Disposition": "attachment"}
    return Stored(row.id, row.blob, row.size_bytes, row.status is UploadStatus.FINAL, headers)
