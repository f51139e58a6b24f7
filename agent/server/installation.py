"""The installation before it is served: its folder, its keys, its database brought to this version's schema.

Embedded, all of it lies in the data folder. With a PostgreSQL URL several servers are one installation: its identity
(agents sign it) and its signing key lie in the database, the key under the master key, which each server is given.
"""

import asyncio
from pathlib import Path

from agent.clock import Clock
from agent.errors import DamagedError, NotFoundError, RefusedError
from agent.seal.envelope import MasterKey, decrypt, encrypt, is_current, rewrap
from agent.server.process.data_folder import DataFolder, make_folders, open_data_folder
from agent.server.settings import ServerSettings
from agent.server.store import fleet
from agent.server.store.database import Connection, open_database
from agent.server.store.locks import lock_name
from agent.server.store.migrate import migrate

_SCOPE = "installation/signing-key"


def open_installation(settings: ServerSettings, clock: Clock) -> DataFolder:
    """The data folder, opened, and its database ready to be served.

    Raises RefusedError for a folder that others can look into or a master key that is not the installation's,
    DamagedError for a database of another version, UnavailableError, UsageError for a bad key.
    """
    if settings.database_url:
        return asyncio.run(_join(settings, clock))
    folder = open_data_folder(settings.data, settings.master_key)
    asyncio.run(migrate(folder.database))
    return folder


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
    # Nothing else runs yet: it may block.
    folder = open_data_folder(settings.data, settings.master_key, settings.database_url)
    sealed = encrypt(folder.master_key, folder.signing_key, scope=_SCOPE)
    await fleet.add_installation(connection, fleet.Installation(folder.server_id, sealed), now)
    return folder


async def _enter(connection: Connection, settings: ServerSettings, common: fleet.Installation) -> DataFolder:
    master = _read_master_key(settings)
    try:
        signing_key = decrypt(master, common.signing_key, scope=_SCOPE)
    except DamagedError:
        raise RefusedError(
            "this server's master key is not the one of the database",
            where="AGENT_MASTER_KEY" if settings.master_key else str(settings.data / "master.key"),
            hint="give each server the same master key: the file master.key of the first one",
        ) from None
    if not is_current(master, common.signing_key):
        await fleet.replace_signing_key(connection, rewrap(master, common.signing_key, scope=_SCOPE))
    return DataFolder(settings.data, common.id, master, signing_key, settings.database_url)


def _read_master_key(settings: ServerSettings) -> MasterKey:
    file: Path = settings.data / "master.key"
    if settings.master_key:
        return MasterKey.from_text(settings.master_key)
    try:
        return MasterKey.load(file)
    except NotFoundError:
        raise RefusedError(
            "this server has no master key, and the database was begun by another",
            where=str(file),
            hint="copy the file master.key of the first server there, or set AGENT_MASTER_KEY",
        ) from None
