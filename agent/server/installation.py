"""The installation before it is served: its folder, its keys, its database brought to this version's schema.

Embedded, all of it lies in the data folder. With a PostgreSQL URL several servers are one installation: its identity
(agents sign it) and its signing key lie in the database, the key under the master key, which each server is given.
"""

import asyncio
import secrets
from pathlib import Path

from agent.clock import Clock
from agent.errors import DamagedError, NotFoundError, RefusedError
from agent.seal.envelope import MasterKey, decrypt, encrypt, is_current, key_id_of, rewrap
from agent.server.process.data_folder import DataFolder, make_folders, open_data_folder, touch_database
from agent.server.settings import ServerSettings
from agent.server.store import fleet
from agent.server.store.database import Connection, open_database
from agent.server.store.locks import lock_name
from agent.server.store.migrate import migrate
from agent.server.store.sealed import list_heads

_SCOPE = "installation/signing-key"


def open_installation(settings: ServerSettings, clock: Clock) -> DataFolder:
    """The data folder, opened, and its database ready to be served.

    Raises RefusedError for a folder that others can look into or a master key that is not the installation's,
    DamagedError for a database of another version, UnavailableError, UsageError for a bad key.
    """
    if settings.database_url:
        return asyncio.run(_join(settings, clock))
    make_folders(settings.data)
    touch_database(settings.data)
    asyncio.run(_prepare(settings))
    return open_data_folder(settings.data, settings.master_key)


async def _prepare(settings: ServerSettings) -> None:
    """An embedded server's database at this version's schema, and no key made for one that has another."""
    file = settings.data / "flow.db"
    await migrate(file)
    database = await open_database(file, pool_size=1)
    try:
        async with database.read() as connection:
            await _check_key(connection, settings)
    finally:
        await database.close()


async def _join(settings: ServerSettings, clock: Clock) -> DataFolder:
    make_folders(settings.data)
    database = await open_database(settings.database_url, pool_size=1)
    try:
        async with database.write() as connection:
            await lock_name(connection, "installation")
            common = await fleet.find_installation(connection)
            if common is None:
                return await _found(connection, settings, clock.now())
            return await _enter(connection, settings, common)
    finally:
        await database.close()


async def _found(connection: Connection, settings: ServerSettings, now: float) -> DataFolder:
    """The first server: what its folder has becomes everybody's, so that agents still know an embedded one that moved."""
    await _check_key(connection, settings)
    # Nothing else runs yet: it may block.
    folder = open_data_folder(settings.data, settings.master_key, settings.database_url)
    sealed = encrypt(folder.master_key, folder.signing_key, scope=_SCOPE)
    await fleet.add_installation(connection, fleet.Installation(folder.server_id, sealed), now)
    return folder


async def _enter(connection: Connection, settings: ServerSettings, common: fleet.Installation) -> DataFolder:
    await _check_key(connection, settings)
    master = _read_master_key(settings)
    if key_id_of(common.signing_key) in master.lost:
        signing_key = secrets.token_bytes(
            32
        )  # ends the tokens of running jobs, and the signed URLs that are out
        await fleet.replace_signing_key(connection, encrypt(master, signing_key, scope=_SCOPE))
        return DataFolder(settings.data, common.id, master, signing_key, settings.database_url)
    try:
        signing_key = decrypt(master, common.signing_key, scope=_SCOPE)
    except DamagedError:
        raise RefusedError(
            "this server's master key is not the one of the database",
            where=_place_of_key(settings),
            hint="give each server the same master key: the file master.key of the first one",
        ) from None
    if not is_current(master, common.signing_key):
        await fleet.replace_signing_key(connection, rewrap(master, common.signing_key, scope=_SCOPE))
    return DataFolder(settings.data, common.id, master, signing_key, settings.database_url)


async def _check_key(connection: Connection, settings: ServerSettings) -> None:
    """Raises RefusedError unless each key that something is stored under is here, or said to be lost.

    A server that starts with another one finds out when a job needs a secret; and what it stores then is under that one.
    """
    used = {key_id_of(head) for head in await list_heads(connection)} - {b""}
    if not used:
        return
    master = _read_master_key(settings)
    strange = sorted(key_id.hex() for key_id in used - master.lost if master.find(key_id) is None)
    if strange:
        raise RefusedError(
            f"secrets of this database are under another master key than this server has ({', '.join(strange)})",
            where=_place_of_key(settings),
            hint="put that key there, on a line of its own; if it is gone for good, a line `lost:IDENTIFIER`, and set those secrets again",
        )


def _place_of_key(settings: ServerSettings) -> str:
    return "AGENT_MASTER_KEY" if settings.master_key else str(settings.data / "master.key")


def _read_master_key(settings: ServerSettings) -> MasterKey:
    file: Path = settings.data / "master.key"
    if settings.master_key:
        return MasterKey.from_text(settings.master_key)
    try:
        return MasterKey.load(file)
    except NotFoundError:
        raise RefusedError(
            "this server has no master key, and what is in its database is under one",
            where=str(file),
            hint="copy the file master.key of the server that made it there (a backup does not hold it), or set AGENT_MASTER_KEY",
        ) from None
