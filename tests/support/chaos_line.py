"""A line between agents and their server on which things go wrong: it is cut, falls silent, drips, is late, is refused.

What TCP promises holds: bytes that come, come once and in order. What stands behind it does not: a connection ends in the
middle of a message, one side learns of it and the other does not, and an answer is lost though what was asked for is done.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum

_READ_BYTES = 65536
_DROP_BYTES = 13
_DROP_SECONDS = 0.001
_LATE_SECONDS = 0.15


class Weather(Enum):
    """How the line carries what comes."""

    FAIR = "fair"
    SILENT = "silent"  # connections stay, and new ones are taken; nothing comes through
    DRIPPING = "dripping"  # a few bytes at a time
    LATE = "late"
    REFUSING = "refusing"  # no connection comes about


@dataclass(eq=False)
class _Pair:
    """A connection from a client, and the one to the server that goes with it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    is_half_open: bool = False

    def abort(self) -> None:
        for side in (self.client, self.server):
            side.transport.abort()


class ChaosLine:
    """A line at `url` to a server on `port` of this machine. Its methods may be called from any thread."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._loop = asyncio.new_event_loop()
        self._fair = asyncio.Event()
        self._fair.set()
        self._pairs: set[_Pair] = set()
        self._weather = Weather.FAIR
        self._cut_at: int | None = None
        self._loses_next_word = False
        self.carried_bytes = 0
        self.url = ""

    def set_weather(self, weather: Weather) -> None:
        """From now on. What a silent line holds back comes through when it speaks again."""
        self._call(self._set_weather, weather)

    def cut(self) -> None:
        """End all connections at once, for both sides."""
        self._call(self._cut)

    def cut_after(self, more_bytes: int) -> None:
        """End all connections when so many more bytes have been carried, in the middle of whatever that is."""
        self._call(self._set_cut, more_bytes)

    def lose_next_word(self) -> None:
        """What a client says next is lost, with all connections, and none comes about before `mend`."""
        self._call(self._set_loses_next_word)

    def leave_half_open(self) -> None:
        """End all connections for the clients. The server hears nothing of it before `mend`."""
        self._call(self._leave_half_open)

    def mend(self) -> None:
        """Fair weather; who has not yet heard of the end of a connection does so now."""
        self._call(self._mend)

    def run(self, started: Callable[[], None]) -> None:
        """Carry until `stop`; for a thread of its own."""
        self._loop.run_until_complete(self._listen(started))
        self._loop.close()

    def stop(self) -> None:
        """End everything."""
        self._call(self._over.set)

    def _call(self, work: Callable[..., object], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(work, *arguments)

    async def _listen(self, started: Callable[[], None]) -> None:
        self._over = asyncio.Event()
        carrying: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(self._carry_both(reader, writer))
            carrying.add(task)
            task.add_done_callback(carrying.discard)

        listener = await asyncio.start_server(accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        started()
        await self._over.wait()
        listener.close()
        self._cut()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    async def _carry_both(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._weather is Weather.REFUSING:
                raise ConnectionRefusedError
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            writer.transport.abort()
            return
        self._pairs.add(pair := _Pair(writer, to_server))
        try:
            await asyncio.gather(
                self._carry(reader, to_server, pair, is_word=True), self._carry(from_server, writer, pair)
            )
        finally:
            if not pair.is_half_open:
                self._end(pair)

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, pair: _Pair, *, is_word: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await source.read(_READ_BYTES):
                await self._fair.wait()
                if is_word and self._loses_next_word:
                    self._set_weather(Weather.REFUSING)
                    return
                await self._pass_on(data, sink)
        await self._fair.wait()  # a silent line does not tell of ends either
        if not pair.is_half_open:
            sink.close()

    async def _pass_on(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        if self._weather is Weather.LATE:
            await asyncio.sleep(_LATE_SECONDS)
        while data:
            size = _DROP_BYTES if self._weather is Weather.DRIPPING else len(data)
            piece, data = data[:size], data[size:]
            left = None if self._cut_at is None else max(0, self._cut_at - self.carried_bytes)
            self.carried_bytes += len(piece)
            sink.write(piece if left is None else piece[:left])
            await sink.drain()
            if left is not None and left <= len(piece):
                self._cut()
            if data:
                await asyncio.sleep(_DROP_SECONDS)

    def _set_weather(self, weather: Weather) -> None:
        self._weather = weather
        (self._fair.clear if weather is Weather.SILENT else self._fair.set)()
        if weather is Weather.REFUSING:
            self._cut()

    def _set_cut(self, more_bytes: int) -> None:
        self._cut_at = self.carried_bytes + more_bytes

    def _set_loses_next_word(self) -> None:
        self._loses_next_word = True

    def _cut(self) -> None:
        self._cut_at = None
        for pair in tuple(self._pairs):
            self._end(pair)

    def _end(self, pair: _Pair) -> None:
        pair.abort()
        self._pairs.discard(pair)

    def _leave_half_open(self) -> None:
        for pair in self._pairs:
            pair.is_half_open = True
            pair.client.transport.abort()

    def _mend(self) -> None:
        self._cut_at = None
        self._loses_next_word = False
        self._set_weather(Weather.FAIR)
        for pair in [pair for pair in self._pairs if pair.is_half_open]:
            self._end(pair)


@contextmanager
def chaos_line(port: int) -> Iterator[ChaosLine]:
    """A line to the server on `port`, fair at first."""
    line = ChaosLine(port)
    is_up = threading.Event()
    thread = threading.Thread(target=line.run, args=(is_up.set,), daemon=True)
    thread.start()
    is_up.wait()
    try:
        yield line
    finally:
        line.stop()
        thread.join()
