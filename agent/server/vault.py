"""Secrets: encrypted under the master key at rest, sealed to one agent for one lease on their way out.

In clear they exist only inside these functions.
"""

import re
from collections.abc import Mapping

from agent.errors import NotFoundError, UsageError
from agent.seal.envelope import MasterKey, decrypt, encrypt
from agent.seal.identity import PublicIdentity
from agent.seal.secrets import seal
from agent.server.store import settings
from agent.server.store.database import Connection

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
MAX_VALUE_BYTES = 64 * 1024


def check_name(name: str, what: str) -> str:
    """`name` as it is stored: in capitals, as at GitHub. Raises UsageError when no secret or variable may have it."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"'{name[:80]}' is no name for a {what}",
            hint="use letters, digits and _, not beginning with a digit",
        )
    if name.upper().startswith(("GITHUB_", "ACTIONS_")):
        raise UsageError(f"names of a {what} may not begin with GITHUB_ or ACTIONS_", where=name)
    return name.upper()


class Vault:
    """The secrets of this server."""

    def __init__(self, master: MasterKey) -> None:
        self._master = master

    async def put(self, connection: Connection, name: str, value: str, now: float) -> str:
        """Store or replace a secret; gives its name as stored. Raises UsageError."""
        name = check_name(name, "secret")
        plaintext = value.encode("utf-8", "surrogatepass")
        if not plaintext or len(plaintext) > MAX_VALUE_BYTES:
            raise UsageError(f"a secret holds 1 to {MAX_VALUE_BYTES} bytes", where=name)
        await settings.put_secret(connection, name, encrypt(self._master, plaintext, scope=_scope(name)), now)
        return name

    async def remove(self, connection: Connection, name: str) -> None:
        """Forget a secret. Raises NotFoundError."""
        if not await settings.remove_secret(connection, name.upper()):
            raise NotFoundError(f"there is no secret '{name}'")

    def lock(self, value: str, scope: str) -> bytes:
        """`value` under the master key, to be stored in a row of another table; it opens in its `scope` only."""
        return encrypt(self._master, value.encode("utf-8", "surrogatepass"), scope=scope)

    def unlock(self, record: bytes, scope: str) -> str:
        """What `lock` was given. Raises DamagedError."""
        return decrypt(self._master, record, scope=scope).decode("utf-8", "surrogatepass")

    async def seal_for(
        self,
        connection: Connection,
        names: tuple[str, ...],
        *,
        own: Mapping[str, str],
        identity: PublicIdentity,
        job: str,
        lease: int,
    ) -> dict[str, bytes]:
        """The secrets `names` and the job's `own` ones, each sealed to `identity` for this job and lease.

        A name whose secret is gone meanwhile is left out. Raises DamagedError when one does not open.
        """
        stored = await settings.load_secrets(connection)
        values = {
            name: decrypt(self._master, stored[name.upper()], scope=_scope(name.upper()))
            for name in names
            if name.upper() in stored
        }
        values |= {name: value.encode() for name, value in own.items()}
        return {
            name: seal(identity, value, job_id=job, lease=lease, name=name) for name, value in values.items()
        }


def _scope(name: str) -> str:
    return f"secrets/{name}"
