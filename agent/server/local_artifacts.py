"""The folder of a local run's artifacts, and the rows that GitHub's clients are answered from: each has what the other has.

Our own actions write `NAME.zip` into the folder themselves, without asking anybody (`actions/_toolkit/artifacts.py`), and mostly nobody else
asks. What they have written is taken in before a client is answered; what a client makes or deletes lies, or lies no more, in the folder.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.server.data.artifacts import NewArtifact
from agent.server.http.rooms import Rooms
from agent.server.store import artifacts as artifact_rows
from agent.server.store import projects, runs

_READ_BYTES: Final = 1 << 20


class LocalArtifacts:
    """The artifacts of the run, `NAME.zip` each in `folder`."""

    def __init__(self, rooms: Rooms, run: int, folder: Path) -> None:
        self._rooms = rooms
        self._run = run
        self._folder = folder
        self._seen: dict[str, tuple[int, int, int]] = {}
        self._turn = asyncio.Lock()

    async def take_in(self) -> None:
        """Have rows for all that lies in the folder."""
        async with self._turn:
            for name, file in sorted(self._list().items()):
                mark = _mark(file)
                if mark is not None and self._seen.get(name) != mark:
                    await self._add(name, file)
                    self._seen[name] = mark

    async def put(self, artifact: int) -> None:
        """A client has finished an artifact: where it is a zip it lies in the folder, too."""
        rooms = self._rooms
        stored = await rooms.data.artifacts.find_final(artifact)
        async with rooms.database.read() as connection:
            row = await artifact_rows.find_artifact(connection, stored.id)
        if row is None or row.mime_type != "application/zip":
            return
        target = self._folder / f"{row.name}.zip"
        async with self._turn:
            await rooms.process.pools.files.run(_link, rooms.process.folder.blobs / stored.blob, target)
            mark = _mark(target)
            if mark is not None:
                self._seen[row.name] = mark

    async def drop_deleted(self) -> None:
        """A client has deleted an artifact: it lies in the folder no more."""
        async with self._turn:
            async with self._rooms.database.read() as connection:
                left = {row.name for row in await artifact_rows.list_final(connection, self._run)}
            for name in self._seen.keys() - left:
                for kind in ("zip", "maker"):
                    (self._folder / f"{name}.{kind}").unlink(missing_ok=True)
                del self._seen[name]

    def _list(self) -> dict[str, Path]:
        return {file.stem: file for file in self._folder.glob("*.zip") if not file.name.startswith(".")}

    async def _add(self, name: str, file: Path) -> None:
        async with self._rooms.database.read() as connection:
            run = await runs.find_run(connection, self._run)
            project = None if run is None else await projects.find_project(connection, run.project)
        assert project is not None
        new = NewArtifact(self._run, name, "application/zip", overwrite=True)
        await self._rooms.data.artifacts.add(project, new, self._read(file))

    async def _read(self, file: Path) -> AsyncIterator[bytes]:
        files = self._rooms.process.pools.files
        with await files.run(file.open, "rb") as source:
            while data := await files.run(source.read, _READ_BYTES):
                yield data


def _mark(file: Path) -> tuple[int, int, int] | None:
    """Another one when another file lies there; None when none does (any more)."""
    with suppress(FileNotFoundError):
        facts = os.lstat(file)
        return facts.st_ino, facts.st_mtime_ns, facts.st_size
    return None


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:  # another file system
        shutil.copyfile(source, target)
