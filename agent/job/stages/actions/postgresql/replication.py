"""A replication connection: libpq, by psycopg's wrapper of it, and the streaming messages (PostgreSQL, "Streaming Replication Protocol")."""

import asyncio
import struct
import time
from typing import Any, NamedTuple

from agent.errors import AgentError
from agent.job.stages.actions.connecting.libraries import load_library

_EPOCH_SECONDS = 946_684_800  # 2000-01-01
_SILENT_SECONDS = 90.0  # wal_sender_timeout is 60 s, and a living server speaks at half of it
# Values come as text: in these forms, whatever the database's own settings are.
_FORMS = (
    "-c datestyle=ISO -c timezone=UTC -c intervalstyle=iso_8601 -c extra_float_digits=1 -c bytea_output=hex"
)


class WalData(NamedTuple):
    """A message of pgoutput."""

    data: bytes


class KeepAlive(NamedTuple):
    """All that was committed before `end_lsn` has been sent."""

    end_lsn: int
    wants_reply: bool


class ServerError(AgentError):
    """PostgreSQL said no. `state` is its SQLSTATE; empty where the line broke."""

    def __init__(self, message: str, state: str = "") -> None:
        super().__init__(f"PostgreSQL: {message.strip()}")
        self.state = state


class Replication:
    """A stream of a slot's changes."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, stage: str, url: str, slot: str, publication: str, lsn: int) -> "Replication":
        """Begin to read a slot, with the first transaction that was committed after `lsn`. Raises ServerError."""
        psycopg = load_library("psycopg", stage)
        try:
            given = psycopg.conninfo.conninfo_to_dict(url)
            options = f"{given.pop('options', '')} {_FORMS}".strip()
            settings = {"connect_timeout": 20, "application_name": slot, **given}
            connection = await psycopg.AsyncConnection.connect(
                **settings, options=options, replication="database", autocommit=True
            )
        except psycopg.Error as error:
            raise ServerError(str(error), error.sqlstate or "") from error
        stream = cls(connection)
        try:
            await stream._start(slot, publication, lsn)
        except BaseException:
            await connection.close()
            raise
        return stream

    async def read(self) -> WalData | KeepAlive:
        """The next message. Raises ServerError when the line breaks, or is silent for too long."""
        while True:
            size, data = self._get()
            if size > 0:
                return _read_frame(bytes(data))
            if size == -1:
                result = self._pg.get_result()
                raise _refusal(result) if result is not None else ServerError("it ended the stream")
            await self._wait_readable()

    async def acknowledge(self, lsn: int) -> None:
        """All up to there is settled: the server need not keep it for us."""
        micros = int((time.time() - _EPOCH_SECONDS) * 1e6)
        try:
            async with self._writing:
                self._pg.put_copy_data(struct.pack("!cqqqqB", b"r", lsn, lsn, lsn, micros, 0))
                await self._flush()
        except Exception as error:
            raise self._broken(error) from error

    async def close(self) -> None:
        """The server ends it when the line is cut."""
        await self._connection.close()

    async def _start(self, slot: str, publication: str, lsn: int) -> None:
        name = publication.replace('"', '""').replace("'", "''")
        at = f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
        command = f"START_REPLICATION SLOT \"{slot}\" LOGICAL {at} (proto_version '1', publication_names '\"{name}\"')"
        try:
            self._pg.send_query(command.encode())
            await self._flush()
            while self._pg.is_busy():
                await self._wait_readable()
        except Exception as error:
            raise self._broken(error) from error
        result = self._pg.get_result()
        if result is None or result.error_message:
            raise _refusal(result)

    def _get(self) -> tuple[int, Any]:
        try:
            size, data = self._pg.get_copy_data(1)
        except Exception as error:
            raise self._broken(error) from error
        return size, data

    async def _flush(self) -> None:
        while self._pg.flush():
            await _wait_for(self._pg.socket, writable=True)

    async def _wait_readable(self) -> None:
        try:
            async with asyncio.timeout(_SILENT_SECONDS):
                await _wait_for(self._pg.socket)
            self._pg.consume_input()
        except TimeoutError:
            raise ServerError(f"it was silent for {_SILENT_SECONDS:.0f} seconds") from None
        except Exception as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> ServerError:
        """Errors of psycopg, and a descriptor that is closed by now."""
        return error if isinstance(error, ServerError) else ServerError(str(error) or "the line broke")


def _refusal(result: Any) -> ServerError:
    if result is None:
        return ServerError("no answer")
    state = result.error_field(67)  # PG_DIAG_SQLSTATE
    return ServerError(result.error_message or "the stream ended", (state or b"").decode())


def _read_frame(frame: bytes) -> WalData | KeepAlive:
    if frame[:1] == b"w":
        return WalData(frame[25:])
    _, end, _, wants = struct.unpack("!cqqB", frame)
    return KeepAlive(end, bool(wants))


async def _wait_for(descriptor: int, *, writable: bool = False) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if writable else (loop.add_reader, loop.remove_reader)
    add(descriptor, note)
    try:
        await ready
    finally:
        remove(descriptor)
