"""The keys that sign: in the database, the private halves under the master key, so that all servers have the same.

    (made) --published--> waits --signs_from--> signs --replaced--> retired --published_until--> (gone)

The first key is made when somebody asks for it, and signs at once. One that replaces it is published an hour before it
signs, so that who keeps our keys for a while knows it by then; the old one stays published until what it signed is over.
"""

import json
from dataclasses import dataclass

from joserfc.jwk import RSAKey

from agent.server.events.changes import Change, Changes
from agent.server.people.vault import Vault
from agent.server.pools import Pool
from agent.server.process.problems import ConflictError
from agent.server.store import id_token_keys
from agent.server.store.id_token_keys import IdTokenKeyRow
from agent.server.store.locks import lock_name

ALGORITHM = "RS256"  # the one that every provider of clouds takes
KEEP_SECONDS = 900.0  # so long others may keep what we publish
_BITS = 2048
_WAITS_SECONDS = 3600.0
_RETIRED_SECONDS = 3600.0  # tokens live for minutes; clocks differ
_LOCK = "the keys of job tokens"
_PUBLIC = ("kty", "n", "e")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that signs now."""

    id: str
    private: RSAKey


class IdTokenKeys:
    """Makes, replaces and opens them. Keys are made on `threads`: it takes the processor for a while."""

    def __init__(self, changes: Changes, vault: Vault, threads: Pool) -> None:
        self._changes = changes
        self._vault = vault
        self._threads = threads
        self._opened: dict[str, RSAKey] = {}

    async def list_published(self) -> list[IdTokenKeyRow]:
        """Those with which a token may be checked; the last one signs longest from now. There is always one."""
        return await self._list() or await self._make_first()

    async def find_signing(self) -> SigningKey:
        """The one that signs now. Raises DamagedError when it does not open under this server's master key."""
        published, now = await self.list_published(), self._changes.clock.now()
        row = [key for key in published if key.signs_from <= now or key is published[0]][-1]
        if row.id not in self._opened:
            opened = json.loads(self._vault.unlock(row.sealed, make_scope(row.id)))
            self._opened = {row.id: RSAKey.import_key(opened)}
        return SigningKey(row.id, self._opened[row.id])

    async def rotate(self, *, at_once: bool) -> list[IdTokenKeyRow]:
        """Replace the key that signs; what is published now.

        `at_once`: the old ones are known to a stranger. They are published no more, and what they have signed is worth nothing
        from the moment on at which others look again. Raises ConflictError while a new one waits to sign.
        """
        made = await self._make()
        async with self._changes.begin() as change:
            await lock_name(change.connection, _LOCK)
            published = await id_token_keys.list_published(change.connection, change.now)
            if not at_once and any(key.signs_from > change.now for key in published):
                raise ConflictError(
                    "a new key is published already, and will sign within the hour",
                    hint="--at-once replaces all of them now: when a key has leaked",
                )
            if at_once:
                starts = change.now
                await id_token_keys.retire_all(change.connection, change.now)
            else:
                starts = change.now + _WAITS_SECONDS
                await id_token_keys.retire_current(change.connection, starts + _RETIRED_SECONDS)
            await self._add(change, made, starts)
            await id_token_keys.remove_unpublished(change.connection, change.now)
        return await self._list()

    async def _list(self) -> list[IdTokenKeyRow]:
        async with self._changes.database.read() as connection:
            return await id_token_keys.list_published(connection, self._changes.clock.now())

    async def _make_first(self) -> list[IdTokenKeyRow]:
        made = await self._make()
        async with self._changes.begin() as change:
            await lock_name(change.connection, _LOCK)
            if not await id_token_keys.list_published(change.connection, change.now):
                await self._add(change, made, change.now)
        return await self._list()

    async def _make(self) -> RSAKey:
        return await self._threads.run(RSAKey.generate_key, _BITS)

    async def _add(self, change: Change, made: RSAKey, starts: float) -> None:
        key = made.thumbprint()
        facts = {"kid": key, "use": "sig", "alg": ALGORITHM}
        public = {name: value for name, value in made.as_dict(private=False).items() if name in _PUBLIC}
        row = IdTokenKeyRow(
            id=key,
            public=json.dumps({**public, **facts}),
            sealed=self._vault.lock(json.dumps(made.as_dict(private=True)), make_scope(key)),
            created_at=change.now,
            signs_from=starts,
            published_until=None,
        )
        await id_token_keys.add_key(change.connection, row)


def make_scope(id: str) -> str:  # noqa: A002 - the column's name
    """What a key's encryption is bound to."""
    return f"id-token-keys/{id}"
