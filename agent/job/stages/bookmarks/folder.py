"""Bookmarks in a folder, a file each: for local runs. A file's lock is held as long as its holder lives."""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.errors import AgentError
from agent.job.stages.stage import Bookmark


class FolderBookmarks:
    """Bookmarks below `folder`, which need not be there yet. Every one that is taken is held until it is freed, or its process ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}  # open files with their locks

    async def take(self, name: str, seconds: float) -> Bookmark | None:  # noqa: ARG002 - as long as we live
        """Hold a bookmark; None: another process does."""
        return await asyncio.to_thread(self._take, name)

    async def keep(self, bookmark: Bookmark, seconds: float) -> bool:  # noqa: ARG002
        """Nobody takes it away."""
        return bookmark.name in self._held

    async def put(self, bookmark: Bookmark, value: object) -> bool:
        """Set its value, durably."""
        if bookmark.name not in self._held:
            return False
        await asyncio.to_thread(self._write, bookmark.name, bookmark.fence, value)
        return True

    async def free(self, bookmark: Bookmark) -> None:
        """Let others have it."""
        handle = self._held.pop(bookmark.name, None)
        if handle is not None:
            os.close(handle)

    async def names(self, prefix: str) -> Sequence[tuple[str, bool]]:
        """Bookmarks that there are."""
        found = [self._read(file) for file in sorted(self._folder.glob("*.json"))]
        names = [str(said["name"]) for said in found if said]
        return [(name, name in self._held) for name in names if name.startswith(prefix)]

    def _take(self, name: str) -> Bookmark | None:
        if name in self._held:
            return None
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(
                self._file(name).with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise AgentError(f"bookmarks can't be kept: {error.strerror}", where=str(self._folder)) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        said = self._read(self._file(name))
        fence = int(said.get("fence", 0)) + 1
        self._held[name] = handle
        self._write(name, fence, said.get("value"))
        return Bookmark(name, said.get("value"), fence)

    def _write(self, name: str, fence: int, value: object) -> None:
        file = self._file(name)
        half = file.with_suffix(".half")
        try:
            with half.open("w", encoding="utf-8") as stream:
                json.dump({"name": name, "fence": fence, "value": value}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            half.replace(file)
        except OSError as error:
            raise AgentError(f"a bookmark can't be written: {error.strerror}", where=str(file)) from None

    def _read(self, file: Path) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            said = json.loads(file.read_text(encoding="utf-8"))
            return said if isinstance(said, dict) else {}
        return {}

    def _file(self, name: str) -> Path:
        return (
            self._folder / f"{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}.json"
        )
