"""Artifacts of runs, as people put them there, look at them and take them away.

An artifact belongs to the run; it is seen once it is final. What a person uploads is final at once; what a job uploads comes
by `agent.server.data.job_artifacts`.
"""

import json
import re
import secrets
from collections.abc import AsyncIterable
from dataclasses import dataclass

from agent.errors import NotFoundError, UsageError
from agent.server.data.blobs.store import BlobStore, Written
from agent.server.data.shelves import ARTIFACTS, Stored, artifact_headers, check_quota, stored_artifact
from agent.server.data.uploads import Uploads
from agent.server.events.changes import Changes
from agent.server.process.paging import Page, part
from agent.server.process.problems import ConflictError, TooLargeError
from agent.server.runs.artifact_views import ArtifactView, view_artifact
from agent.server.store import artifacts, retention, runs
from agent.server.store.artifacts import ArtifactRow
from agent.server.store.locks import lock_name
from agent.server.store.projects import ProjectRow
from agent.visible import check_visible, show_name

_FORBIDDEN = re.compile(r'["<>|*?:\r\n\\/\x00-\x1f\x7f]')
_MOST_NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class NewArtifact:
    """An artifact that a person uploads to a run. `digest` (empty: any) is held against the bytes."""

    run: int
    name: str
    mime_type: str
    digest: str = ""
    overwrite: bool = False
    kept: str = ""  # as `note_kept` says it; empty: it is no tree


class Artifacts:
    """The artifacts of runs. An artifact has `most_bytes` at most, whatever its project has room for."""

    def __init__(self, changes: Changes, blobs: BlobStore, uploads: Uploads, most_bytes: int) -> None:
        self._changes = changes
        self._blobs = blobs
        self._uploads = uploads
        self._most_bytes = most_bytes

    async def list_of(self, run: int, page: Page) -> tuple[list[ArtifactView], str | None]:
        """The run's finished artifacts. Raises NotFoundError."""
        async with self._changes.database.read() as connection:
            if await runs.find_run(connection, run) is None:
                raise NotFoundError(f"there is no run {run}")
            found = [
                row
                for row in await artifacts.list_final(connection, run)
                if not row.is_over(self._changes.clock.now())
            ]
        rows, after = part(found, page, lambda row: row.id, int)
        return [view_artifact(row) for row in rows], after

    async def find_final(self, artifact: int) -> Stored:
        """Where the bytes of a finished artifact are. Raises NotFoundError."""
        stored = await self._uploads.find(ARTIFACTS, artifact)
        if not stored.is_final:
            raise _nothing_such()
        return stored

    async def add(self, project: ProjectRow, new: NewArtifact, chunks: AsyncIterable[bytes]) -> ArtifactView:
        """Add an artifact to a run; it is final at once.

        Raises ConflictError for a name that is taken, TooLargeError, DamagedError for another digest.
        """
        async with self._changes.database.read() as connection:
            _check_free(await artifacts.find_by_name(connection, new.run, new.name), new)
            room = await ARTIFACTS.room(connection, project.id, self._most_bytes)
        key = f"artifacts/{new.run}/by-hand-{secrets.token_hex(8)}"
        written = await self._blobs.write(
            key,
            chunks,
            limit_bytes=room,
            digest=new.digest,
            headers=artifact_headers(new.name, new.mime_type),
        )
        try:
            row, old = await self._write_down(project, new, key, written)
        except (ConflictError, TooLargeError):
            await self._blobs.remove(key)
            raise
        if old is not None:
            await self._uploads.remove_all(ARTIFACTS, stored_artifact(old))
        return view_artifact(row)

    async def remove(self, artifact: int) -> None:
        """Forget an artifact, in whatever state. Raises NotFoundError."""
        async with self._changes.begin() as change:
            row = await artifacts.find_artifact(change.connection, artifact)
            if row is None:
                raise _nothing_such()
            await retention.forget_artifacts(change.connection, [row.id])
            await change.tell_run(row.run)
        await self._uploads.remove_all(ARTIFACTS, stored_artifact(row))

    async def _write_down(
        self, project: ProjectRow, new: NewArtifact, key: str, written: Written
    ) -> tuple[ArtifactRow, ArtifactRow | None]:
        """The new row, and the one that it has replaced. Raises TooLargeError when others have taken the room meanwhile."""
        async with self._changes.begin() as change:
            connection = change.connection
            await lock_name(connection, f"uploads of {project.id}")
            old = await artifacts.find_by_name(connection, new.run, new.name)
            _check_free(old, new)
            if old is not None:
                await retention.forget_artifacts(connection, [old.id])
            number = await artifacts.add_artifact(
                connection,
                run=new.run,
                job="",
                name=new.name,
                mime_type=new.mime_type,
                created_at=change.now,
                expires_at=None,
                kept=new.kept,
            )
            if number is None:
                raise ConflictError("another upload of this name was quicker", where=new.name)
            used = await artifacts.size_of_all(connection, project.id)
            check_quota(project.settings.max_artifact_bytes, used, written.size_bytes)
            await artifacts.mark_uploaded(connection, number, key, written.size_bytes, written.digest)
            await artifacts.mark_final(connection, number)
            await change.tell_run(new.run)
            row = await artifacts.find_artifact(connection, number)
        assert row is not None
        return row, old


def check_name(name: str) -> str:
    """`name`, when an artifact may have it. Raises UsageError."""
    if not name or name in (".", "..") or len(name.encode("utf-8", "replace")) > _MOST_NAME_BYTES:
        raise UsageError("the artifact has no name, or a far too long one", where=show_name(name[:80]))
    if _FORBIDDEN.search(name):
        raise UsageError(
            "an artifact's name may not hold \" : < > | * ? \\ / or control characters",
            where=show_name(name[:80]),
        )
    return check_visible(name, "an artifact")


def note_kept(path: str, *, is_file: bool, kind: str = "artifact", label: str = "", size: int = 0) -> str:
    """What is noted of a tree, for who is brought it. Raises UsageError."""
    for text in (path, label):
        check_visible(text, "an artifact")
    noted = {"kind": kind, "label": label or path, "path": path, "is_file": is_file, "size": size}
    return json.dumps(noted)


def check_mime_type(given: str) -> str:
    """`given`, when it is a media type; else that of bytes."""
    is_one = re.fullmatch(r"[\w.+-]{1,60}/[\w.+-]{1,60}", given, re.ASCII)
    return given if is_one else "application/octet-stream"


def _check_free(row: ArtifactRow | None, new: NewArtifact) -> None:
    if row is not None and not new.overwrite:
        raise ConflictError(
            "the run has an artifact of this name",
            where=row.name,
            hint="overwrite it with --overwrite (in the API: ?overwrite=true)",
        )


def _nothing_such() -> NotFoundError:
    return NotFoundError("there is no such artifact")
