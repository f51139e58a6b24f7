"""Doors: the paths at which deployed flows receive, and what is asked of who sends there.

Who is not let in, and who knocks where there is no door, hear the same, after the same work: nobody learns which paths there are
without the secret of one. What is asked of a sender is read anew after a moment, so that a new secret counts at once.
"""

import hmac
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from agent.clock import Clock
from agent.flow.stages import list_named
from agent.server.people.vault import Asker, Vault
from agent.server.process.problems import UnknownDoorError
from agent.server.store import deployments
from agent.server.store.database import Database
from agent.server.store.stream_queues import QueueKey
from agent.server.triggers.signatures import sign_body

_FRESH_SECONDS = 1.0
_MOST_REMEMBERED = 10_000
_DIGEST = re.compile("[0-9a-f]{64}")
_NOBODYS = secrets.token_hex(32)  # what is compared with where there is no door


@dataclass(frozen=True, slots=True)
class StreamDoor:
    """A path at which a deployed flow receives. `secret` and `token` None: none is asked for."""

    queue: QueueKey
    methods: tuple[str, ...]
    secret: str | None
    token: str | None


_NO_DOOR = StreamDoor(QueueKey(0, "", ""), (), _NOBODYS, None)


class Doors:
    """Finds doors, and lets senders in."""

    def __init__(self, database: Database, vault: Vault, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[StreamDoor, float]] = OrderedDict()

    async def open(
        self, project: str, path: str, method: str, headers: Mapping[str, str], body: bytes | None
    ) -> StreamDoor:
        """The door, for who may send there. `headers` have lower-case names; `body` None: it has not been read yet.

        Raises UnknownDoorError for everybody else.
        """
        door = await self._find(project, path)
        is_let_in = _is_proven(door, headers, body)
        if door is _NO_DOOR or method not in door.methods or not is_let_in:
            raise UnknownDoorError(
                f"no deployed flow receives {method} here, or the sender has not shown that it may send",
                hint="`agent flow deployments` lists the paths; is the secret the same on both sides?",
            )
        return door

    async def _find(self, project: str, path: str) -> StreamDoor:
        key, now = (project, path), self._clock.monotonic()
        door, read_at = self._known.pop(key, (_NO_DOOR, float("-inf")))
        if now - read_at > _FRESH_SECONDS:
            door, read_at = await self._read(project, path), now
        self._known[key] = (door, read_at)
        if len(self._known) > _MOST_REMEMBERED:
            self._known.popitem(last=False)
        return door

    async def _read(self, project: str, path: str) -> StreamDoor:
        async with self._database.read() as connection:
            row = await deployments.find_path(connection, project, path)
            if row is None:
                return _NO_DOOR
            asker = Asker(project=row.project, run=0, environment="", ref="", is_trusted=True)
            names = tuple(list_named([row.secret, row.token]))
            known = await self._vault.open_for(connection, names, asker)
        values = {name.upper(): value.decode("utf-8", "replace") for name, value in known.items()}
        queue = QueueKey(row.project, row.flow, row.path)
        return StreamDoor(queue, row.methods, _fill(row.secret, values), _fill(row.token, values))


def _fill(text: str, values: Mapping[str, str]) -> str | None:
    """The text with its secrets in it; None where there is no text. One that nobody has set lets nobody in."""
    if not text:
        return None
    for name in list_named(text):
        if name.upper() not in values:
            return _NOBODYS
        for word in ("secret", "secrets"):
            text = text.replace(f"${{{word}.{name}}}", values[name.upper()])
    return text


def _is_proven(door: StreamDoor, headers: Mapping[str, str], body: bytes | None) -> bool:
    """Whether the sender has shown all that is asked for; what can't be said without the body counts as shown."""
    is_signed = door.secret is None or _is_signed(door.secret, headers, body)
    return (door.token is None or _shows(door.token, headers)) and is_signed


def _is_signed(secret: str, headers: Mapping[str, str], body: bytes | None) -> bool:
    algorithm, _, digest = headers.get("x-hub-signature-256", "").partition("=")
    if algorithm != "sha256" or not _DIGEST.fullmatch(digest):
        return False
    return body is None or hmac.compare_digest(digest, sign_body(secret, body))


def _shows(token: str, headers: Mapping[str, str]) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    shown = given.strip().encode("utf-8", "replace")
    return hmac.compare_digest(shown, token.encode()) and scheme.lower() == "bearer"
