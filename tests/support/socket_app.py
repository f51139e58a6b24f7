"""A websocket app for tests: `socket_app.py PORT` says back what it is told; `/close` ends with a code, `/no` refuses, `/big` says much."""

import asyncio
import sys
from collections.abc import Sequence
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol


async def say_back(socket: ServerConnection) -> None:
    """One conversation."""
    assert socket.request is not None
    if socket.request.path == "/close":
        await socket.close(4001, "as asked")
    elif socket.request.path == "/big":
        await socket.send(b"x" * (20 << 20))
    async for message in socket:
        await socket.send(message)


def refuse(socket: ServerConnection, request: Request) -> Response | None:
    """Some are turned away before the conversation."""
    return socket.respond(HTTPStatus.FORBIDDEN, "no\n") if request.path == "/no" else None


def choose(_socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The protocol that both know, where one is asked for."""
    return Subprotocol("first") if "first" in offered else None


async def main() -> None:
    """Until killed."""
    async with serve(
        say_back,
        "127.0.0.1",
        int(sys.argv[1]),
        process_request=refuse,
        select_subprotocol=choose,
        max_size=None,
    ) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
