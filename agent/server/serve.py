"""The server process, from taking its data folder to giving it back."""

import asyncio
import ipaddress
import logging
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from types import FrameType

import uvicorn

from agent.clock import Clock, SystemClock
from agent.errors import AgentError, UsageError
from agent.seal.files import write_private_file
from agent.server.app import make_app
from agent.server.data.blobs.location import open_blobs
from agent.server.http.connection_limits import Doorkeeper, make_room
from agent.server.http.transports import Door, FullNotes, HttpConnection, WebsocketConnection
from agent.server.installation import open_installation
from agent.server.people.auth.tokens import API, REGISTRATION, create_token
from agent.server.process.data_folder import DataFolder, lock_data_folder
from agent.server.process.memory import keep_memory_small, settle_memory
from agent.server.services import Services
from agent.server.settings import ServerSettings
from agent.server.store import tokens
from agent.server.store.database import open_database
from agent.server.store.locks import lock_name
from agent.server.store.users import FIRST
from agent.wire.codec import MAX_FRAME_BYTES

log = logging.getLogger("agent.server")

_FIRST_TOKEN_USES = 10
_FIRST_TOKEN_SECONDS = 24 * 3600.0
_SHUTDOWN_SECONDS = 10


@dataclass(frozen=True, slots=True)
class ServerStarted:
    """What the person who started the server is told. The tokens are there at the very first start only."""

    url: str
    server_id: str
    data: str
    admin_token: str | None = field(default=None, repr=False)
    registration_token: str | None = field(default=None, repr=False)


def serve(settings: ServerSettings, announce: Callable[[ServerStarted], None]) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is called once, when requests are answered.

    Raises AgentError when the folder is taken or the address can't be listened on.
    """
    keep_memory_small()
    most = make_room()
    lock = lock_data_folder(settings.data)
    folder = open_installation(settings, SystemClock())
    open_blobs(
        settings.blobs_url, folder.blobs
    )  # what is wrong with the setting is told here, not by uvicorn
    folder.address.unlink(missing_ok=True)
    listener = _listen(settings.listen)
    _advise(settings, listener)
    settings = replace(settings, listen=_url_of(listener).removeprefix("http://"))  # its port may have been 0
    try:
        asyncio.run(_serve(settings, folder, listener, announce, settings.limits.connections or most))
    finally:
        folder.address.unlink(missing_ok=True)
        listener.close()
        os.close(lock)


async def _serve(
    settings: ServerSettings,
    folder: DataFolder,
    listener: socket.socket,
    announce: Callable[[ServerStarted], None],
    most_connections: int,
) -> None:
    asyncio.get_running_loop().set_exception_handler(FullNotes())
    keeper = Doorkeeper(most_connections, settings.limits.connections_of_stranger)
    door = Door(keeper, settings.proxies, settings.limits.deadlines, {})
    url = settings.public_url or _url_of(listener)
    admin, registration = await make_first_tokens(folder, SystemClock())
    server: _Server

    def on_started(services: Services) -> None:
        server.services = services
        settle_memory()
        write_private_file(folder.address, f"{_url_of(listener)}\n".encode())
        announce(ServerStarted(url, folder.server_id, str(folder.root), admin, registration))

    app = make_app(settings, folder, on_started=on_started)
    server = _Server(
        uvicorn.Config(
            app,
            http=partial(HttpConnection, door),  # type: ignore[arg-type]  # it is called as the class would be
            ws=partial(WebsocketConnection, door),  # type: ignore[arg-type]
            ws_max_size=MAX_FRAME_BYTES,
            ws_per_message_deflate=False,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
    )
    await server.serve(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, which at a signal also lets streams and agents go, so that it need not wait for them."""

    services: Services | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called on SIGTERM and SIGINT; unlike uvicorn's it does not raise the signal again: to stop is no failure."""
        del sig, frame
        self.force_exit = self.should_exit
        self.should_exit = True
        if self.services is not None:
            self.services.rooms.bus.close()
            self.services.rooms.agents.hub.reject_all(
                "shutting_down", "the server is stopping; come back soon"
            )


async def make_first_tokens(folder: DataFolder, clock: Clock) -> tuple[str | None, str | None]:
    """An API token and a registration token, when there has never been an API token; else nothing."""
    database = await open_database(folder.database)
    try:
        async with database.write() as connection:
            await lock_name(connection, "first tokens")
            if await tokens.list_tokens(connection, API):
                return None, None
            now = clock.now()
            _, admin = await create_token(connection, API, now=now, name="first admin", user=FIRST)
            _, registration = await create_token(
                connection,
                REGISTRATION,
                now=now,
                name="first agents",
                uses=_FIRST_TOKEN_USES,
                expires_seconds=_FIRST_TOKEN_SECONDS,
            )
            return admin, registration
    finally:
        await database.close()


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(
            "the address to listen on is not HOST:PORT", where=address, hint="such as 127.0.0.1:8420"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, int(port)), family=family, backlog=1024)
    except OSError as error:
        raise AgentError(
            f"can't listen there: {error.strerror}", where=address, hint="choose another --listen"
        ) from None
    # Its connections have it from here: asyncio overlooks those of a listener that it has not made. Without it the second
    # part of an answer waits for the acknowledgement of the first, for 40 ms as a rule.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _advise(settings: ServerSettings, listener: socket.socket) -> None:
    if not settings.public_url and not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
        log.warning(
            "without --public-url (AGENT_PUBLIC_URL) links name the host that each request names, and the installer "
            "for agents has to be told --url; say how people and agents reach this server"
        )


def _url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
