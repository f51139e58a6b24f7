"""Bookmarks on the job's server. What is asked of one that is away is asked again by whoever holds the bookmark."""

from collections.abc import Sequence
from typing import Any

from agent.errors import AgentError
from agent.job.stages.asking import StageServer
from agent.job.stages.stage import Bookmark, StageAnswer


class ServerBookmarks:
    """See Bookmarks. All of it raises AgentError while the server can't be reached."""

    def __init__(self, server: StageServer) -> None:
        self._server = server

    async def take(self, name: str, seconds: float) -> Bookmark | None:
        """Hold a bookmark for so long; None: another job holds it."""
        answer = await self._ask("take", name=name, seconds=seconds)
        if answer.is_conflict:
            return None
        data = answer.data
        if not isinstance(data, dict) or not isinstance(data.get("fence"), int):
            raise AgentError("the server's answer is no bookmark", where=name)
        return Bookmark(name, data.get("value"), data["fence"])

    async def keep(self, bookmark: Bookmark, seconds: float) -> bool:
        """Hold it for so long from now on; False: it is another's by now."""
        return await self._is_done("keep", name=bookmark.name, fence=bookmark.fence, seconds=seconds)

    async def put(self, bookmark: Bookmark, value: object) -> bool:
        """Set its value, durably; False: it is another's by now."""
        return await self._is_done("put", name=bookmark.name, fence=bookmark.fence, value=value)

    async def free(self, bookmark: Bookmark) -> None:
        """Let others have it."""
        await self._ask("free", name=bookmark.name, fence=bookmark.fence)

    async def names(self, prefix: str) -> Sequence[tuple[str, bool]]:
        """Bookmarks that there are: their names, and whether somebody holds them."""
        answer = await self._server.get("bookmarks", {"prefix": prefix})
        found = answer.data.get("bookmarks", []) if isinstance(answer.data, dict) else []
        return [(str(one["name"]), bool(one["is_held"])) for one in found]

    async def _is_done(self, verb: str, **said: Any) -> bool:
        return not (await self._ask(verb, **said)).is_conflict

    async def _ask(self, verb: str, **said: Any) -> StageAnswer:
        return await self._server.post(f"bookmarks/{verb}", said)
