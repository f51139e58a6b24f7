"""A new master key: what is stored under an older one is moved to it when a server starts with both.

Secrets themselves are not decrypted: each has a data key of its own, and that is what is wrapped anew. Whoever sets a
secret meanwhile is not disturbed. When nothing was left behind, the older key can go.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from agent.errors import DamagedError
from agent.seal.envelope import MasterKey, is_current, rewrap
from agent.server.people import vault
from agent.server.people.id_tokens import keys as id_token_keys
from agent.server.process import idempotency
from agent.server.store.database import Database
from agent.server.store.sealed import list_sealed, replace_sealed
from agent.server.store.settings import Level
from agent.server.triggers import connected, named

log = logging.getLogger("agent.server")

# What each record is bound to, by table and column: said by whoever made it.
_SCOPES: Mapping[tuple[str, str], Callable[..., str]] = {
    ("secrets", "sealed"): lambda project, environment, name: vault.make_scope(
        Level(project, environment), name
    ),
    ("run_secrets", "sealed"): vault.make_run_scope,
    ("repositories", "credentials"): lambda id: connected.make_scope(id, "credentials"),  # noqa: A006 - the column
    ("repositories", "secret"): lambda id: connected.make_scope(id, "secret"),  # noqa: A006
    ("webhooks", "secret"): named.make_scope,
    ("id_token_keys", "sealed"): id_token_keys.make_scope,
    ("idempotency_keys", "answer"): lambda owner, key: idempotency.KeyClaim(owner, key).scope,
}


async def move_to_current_key(database: Database, master: MasterKey) -> int:
    """Bring all records under the current master key: how many were moved. Those that do not open are told and stay."""
    moved = left = 0
    async for old in list_sealed(database):
        if is_current(master, old.record):
            continue
        try:
            new = rewrap(master, old.record, scope=_scope_of(old.table, old.column, old.key))
        except DamagedError as error:
            log.warning("a stored secret is not under a key that this server has: %s", error)
            left += 1
            continue
        async with database.write() as connection:
            moved += await replace_sealed(connection, old, new)
    if moved or left:
        log.warning("%d stored secrets are under the new master key now, %d could not be moved", moved, left)
    return moved


def _scope_of(table: str, column: str, key: Mapping[str, Any]) -> str:
    return _SCOPES[table, column](**key)
