"""Bodies of requests that are in memory: so many bytes in all, and of one client, so that no number of them takes the machine's."""

from typing import Any

from agent.server.pools import OverloadedError
from agent.server.process.client_groups import group_of
from agent.server.process.problems import TooManyError

_KEY = "agent_body_bytes"
_RETRY_SECONDS = 2


class Bodies:
    """Counts the bytes that requests hold, from when they are read until the request is answered."""

    def __init__(self, most: int, most_of_client: int) -> None:
        self._most = most
        self._most_of_client = most_of_client
        self._held = 0
        self._of_clients: dict[str, int] = {}

    def take(self, scope: Any, size_bytes: int) -> None:
        """The request of `scope` will hold so many more. Raises TooManyError, OverloadedError when that is too much."""
        client = _client(scope)
        of_client = self._of_clients.get(client, 0) + size_bytes
        if of_client > self._most_of_client:
            raise TooManyError(
                "this address sends too much at a time", hint="wait a moment", retry_seconds=_RETRY_SECONDS
            )
        if self._held + size_bytes > self._most:
            raise OverloadedError("the server is sent too much at a time", hint="try again in a moment")
        self._held += size_bytes
        self._of_clients[client] = of_client
        scope[_KEY] = scope.get(_KEY, 0) + size_bytes

    def release(self, scope: Any) -> None:
        """The request of `scope` is answered."""
        size_bytes = scope.pop(_KEY, 0)
        if not size_bytes:
            return
        client = _client(scope)
        self._held -= size_bytes
        self._of_clients[client] -= size_bytes
        if not self._of_clients[client]:
            del self._of_clients[client]


def _client(scope: Any) -> str:
    client = scope.get("client")
    return group_of(client[0] if client else "")
