"""Tags of runs, artifacts and versions of datasets. Each call is one transaction.

A tag on an artifact may start flows (`on: artifact_tagged`). Of a dataset's versions one at most has a tag.
"""

from typing import Annotated, Literal, NamedTuple

import msgspec

from agent.errors import NotFoundError
from agent.server.data.dataset_commit import put_tag
from agent.server.data.datasets import VersionPlace, find_named
from agent.server.events.changes import Changes
from agent.server.process.moments import Moment, time_text
from agent.server.process.paging import Page, RowId, cut, next_cursor
from agent.server.runs.artifact_views import view_artifact
from agent.server.runs.platform_events import PlatformEvent, emit
from agent.server.store import artifacts, tags
from agent.server.store.datasets import TAGGED
from agent.server.store.states import UploadStatus
from agent.server.store.tags import TagRow
from agent.spec.data import check_tag

TaggedKind = Literal["run", "artifact"]


class _Place(NamedTuple):
    """What lists of tags are sorted by: where a part of one begins."""

    tag: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]*$")]
    kind: Annotated[str, msgspec.Meta(pattern=r"^[a-z_]*$")]
    thing: RowId


class TagView(msgspec.Struct):
    """A tag, what it is on (`kind` run, artifact or dataset_version, by its id), and who put it there."""

    tag: str
    kind: str
    id: int
    actor: str
    created: Moment | None


class Tags:
    """The tags of projects."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def list_of(
        self, project: int, page: Page, *, kind: str = "", thing: int | None = None, tag: str = ""
    ) -> tuple[list[TagView], str | None]:
        """The project's tags by name: all, those of one thing, or those of one name."""
        limit, after = page.limit, page.after(_Place)
        async with self._changes.database.read() as connection:
            found = await tags.list_tags(
                connection, project, limit=limit + 1, after=after, kind=kind, thing=thing, tag=tag
            )
        shown = cut(found, limit)
        last = (shown[-1].tag, shown[-1].kind, shown[-1].thing) if shown else None
        return [_view(row) for row in shown], next_cursor(found, limit, last)

    async def tag_run(self, project: int, run: int, tag: str, actor: str) -> TagView:
        """Put a tag on a run; once more changes nothing. Raises UsageError for its name."""
        row = self._row(project, "run", run, tag, actor)
        async with self._changes.begin() as change:
            await tags.add_tag(change.connection, row)
        return _view(row)

    async def tag_artifact(self, project: int, number: int, tag: str, actor: str) -> TagView:
        """Put a tag on a finished artifact, and let flows hear of it; once more changes nothing. Raises UsageError, NotFoundError."""
        row = self._row(project, "artifact", number, tag, actor)
        async with self._changes.begin() as change:
            artifact = await artifacts.find_artifact(change.connection, number)
            if artifact is None or artifact.status is not UploadStatus.FINAL:
                raise NotFoundError("there is no such artifact")
            if await tags.add_tag(change.connection, row):
                event = PlatformEvent(
                    "artifact_tagged",
                    {"tag": row.tag, "artifact": msgspec.to_builtins(view_artifact(artifact))},
                    ref=f"refs/tags/{row.tag}",
                    names=(artifact.name,),
                    project=row.project,
                )
                await emit(change, event)
        return _view(row)

    async def remove(self, kind: TaggedKind, thing: int, tag: str) -> None:
        """Take a tag off a run or an artifact. Raises NotFoundError."""
        async with self._changes.begin() as change:
            if not await tags.remove_tag(change.connection, kind, thing, tag):
                raise _not_on_it()

    async def list_of_version(self, place: VersionPlace, page: Page) -> tuple[list[TagView], str | None]:
        """The tags of a version of a dataset. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            _, row = await find_named(connection, place)
        return await self.list_of(place.project, page, kind=TAGGED, thing=row.id)

    async def tag_version(self, place: VersionPlace, tag: str, actor: str) -> TagView:
        """Put a tag on a version of a dataset; the dataset's other versions lose it. Raises NotFoundError, UsageError."""
        async with self._changes.begin() as change:
            found, row = await find_named(change.connection, place)
            return _view(await put_tag(change, found, row, tag, actor))

    async def untag_version(self, place: VersionPlace, tag: str) -> None:
        """Take a tag off a version of a dataset. Raises NotFoundError."""
        async with self._changes.begin() as change:
            _, row = await find_named(change.connection, place)
            if not await tags.remove_tag(change.connection, TAGGED, row.id, tag):
                raise _not_on_it()

    def _row(self, project: int, kind: TaggedKind, thing: int, tag: str, actor: str) -> TagRow:
        return TagRow(kind, thing, check_tag(tag), project, actor, self._changes.clock.now())


def _not_on_it() -> NotFoundError:
    return NotFoundError("there is no such tag on it")


def _view(row: TagRow) -> TagView:
    return TagView(row.tag, row.kind, row.thing, row.actor, time_text(row.created_at))
