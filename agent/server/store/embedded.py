"""The embedded store, SQLite: one writer at a time, and changes that share a commit.

A commit waits for the disk, and while it does nobody can write. The changes that have come meanwhile are then made one
after the other, each in a savepoint of its own, and share the next commit: under load the disk is asked once for many.
A change that raises is undone alone. One that comes when there is no other waits for nobody.

                 first change          queue is empty          disk has it
    no group ------------------> open ------------------> committing ------> all its changes are done
                                   |  SQLite gave up the transaction (disk full) --> all its changes have failed

Another process may hold the file's lock. A change waits for it so long and no longer, in the queue or at its head; and once one
has waited in vain, those that follow don't, until one of them gets through: who asks is told to come back, and is not kept.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection as Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from agent.server.store.engines import Where
from agent.server.store.failures import UnavailableError, translate_failures
from agent.server.store.sqlite_driver import PATIENCE_SECONDS, plain_connection, quick_connection

_SPARE_READERS = 8
_IMPATIENCE_SECONDS = 0.1  # with a lock that somebody is known to hold


class CommitGroup:
    """The changes that share a commit."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, error: BaseException) -> None:
        """None of its changes has happened."""
        self.done.set_exception(error)
        self.done.exception()  # whoever made them may have given up waiting


class EmbeddedStore:
    """How a SQLite file is read and written."""

    def __init__(self, engine: AsyncEngine, where: Where) -> None:
        self._engine = engine
        self._where = where
        self._turn = asyncio.Lock()
        self._patience = PATIENCE_SECONDS
        self._writer: Connection | None = None
        self._group: CommitGroup | None = None
        self._readers: list[Connection] = []
        self._committing: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A connection that sees one consistent snapshot."""
        connection = self._readers.pop() if self._readers else await self._connect()
        is_well = False
        try:
            with translate_failures(str(self._where)):
                yield connection
            await _end_snapshot(connection)
            is_well = len(self._readers) < _SPARE_READERS
        finally:
            if is_well:
                self._readers.append(connection)
            else:
                await connection.close()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Connection]:
        """One change: on the disk when the block has ended, undone when it raises."""
        with translate_failures(str(self._where)):
            await self._take_turn()
            try:
                group = await self._join()
                plain = plain_connection(group.connection)
                try:
                    plain.execute("SAVEPOINT change")
                    yield group.connection
                    plain.execute("RELEASE change")
                except BaseException as error:
                    await self._undo(group, error)
                    raise
            finally:
                self._turn.release()
            await asyncio.shield(group.done)

    async def close(self) -> None:
        """Give all connections back, once what is being committed is."""
        await asyncio.gather(*self._committing, return_exceptions=True)
        for connection in (*self._readers, *([self._writer] if self._writer is not None else ())):
            await connection.close()
        self._readers.clear()
        self._writer = None

    async def _take_turn(self) -> None:
        """Be the one whose change is made next. Raises UnavailableError when those before don't get on."""
        try:
            async with asyncio.timeout(self._patience):
                await self._turn.acquire()
        except TimeoutError:
            raise UnavailableError(
                "the database can't be used right now: those before wait for its lock, too",
                where=str(self._where),
                hint="try again in a moment",
            ) from None

    async def _join(self) -> CommitGroup:
        """The group that is open; the first of a group sees to it that it is committed after those that wait now."""
        if self._group is None:
            with translate_failures(str(self._where), connecting=self._writer is None):
                if self._writer is None:
                    opened = await self._connect()
                    self._writer = await opened.execution_options(writes=True)
                quick_connection(self._writer).patience_seconds = self._patience
                try:
                    await self._writer.begin()
                except Exception:
                    self._patience = _IMPATIENCE_SECONDS
                    raise
                self._patience = PATIENCE_SECONDS
            self._group = CommitGroup(self._writer)
            task = asyncio.create_task(self._commit(self._group))
            self._committing.add(task)
            task.add_done_callback(self._committing.discard)
        return self._group

    async def _commit(self, group: CommitGroup) -> None:
        async with self._turn:
            if group is not self._group:
                return  # it was lost
            self._group = None
            try:
                await group.connection.commit()
            except BaseException as error:
                group.fail(error)
                await self._forget_writer()
                if not isinstance(error, Exception):
                    raise
            else:
                group.done.set_result(None)

    async def _undo(self, group: CommitGroup, error: BaseException) -> None:
        """A change has raised: it is undone, unless SQLite has undone the whole group already."""
        plain = plain_connection(group.connection)
        if plain.in_transaction:
            plain.execute("ROLLBACK TO change")
            plain.execute("RELEASE change")
            return
        self._group = None
        group.fail(error)
        await self._forget_writer()

    async def _forget_writer(self) -> None:
        """Whether a connection is as good as new after a failure is not worth finding out."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.invalidate()
            await writer.close()

    async def _connect(self) -> Connection:
        with translate_failures(str(self._where), connecting=True):
            return await self._engine.connect()


async def _end_snapshot(connection: Connection) -> None:
    """What a reader has seen is over; SQLAlchemy need not hear of it when only hot statements were run."""
    if connection.in_transaction():
        await connection.rollback()
    else:
        plain_connection(connection).rollback()
