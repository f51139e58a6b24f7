"""A TCP proxy that keeps every byte that went through it, in both directions.

A websocket client masks its frames with a random key and journal chunks are compressed, so raw bytes would show no leak
even if there were one: `everything` adds the frames unmasked, and the chunks decompressed.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from websockets.frames import Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from agent.wire.codec import decode_chunk
from agent.wire.errors import WireError


@dataclass
class Wiretap:
    """What was heard, and where to connect to be heard."""

    url: str = ""
    upward: list[bytearray] = field(default_factory=list)  # from the client, by connection
    downward: list[bytearray] = field(default_factory=list)

    def everything(self) -> bytes:
        """All that was said, as it was and as it was meant."""
        frames = [frame for said in self.upward for frame in client_frames(bytes(said))]
        return b"\n".join([*self.upward, *self.downward, *frames, *map(unpacked, frames)])


def client_frames(said: bytes) -> list[bytes]:
    """The unmasked payloads of what a websocket client sent; nothing when it spoke plain HTTP."""
    if b"upgrade: websocket" not in said[:4096].lower():
        return []
    protocol = ServerProtocol(max_size=None)
    head_ends = said.index(b"\r\n\r\n") + 4
    protocol.receive_data(said[:head_ends])
    (request,) = protocol.events_received()
    assert isinstance(request, Request)
    protocol.send_response(protocol.accept(request))
    protocol.receive_data(said[head_ends:])
    return [bytes(frame.data) for frame in protocol.events_received() if isinstance(frame, Frame)]


def unpacked(frame: bytes) -> bytes:
    """The journal bytes in a binary frame; nothing for any other."""
    try:
        return decode_chunk(frame).data
    except WireError:
        return b""


@contextmanager
def tap(target_url: str) -> Iterator[Wiretap]:
    """A tap in front of `target_url`, in a thread of its own, until the block ends."""
    target = urlsplit(target_url)
    wiretap = Wiretap()
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def pipe(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: list[bytearray]
    ) -> None:
        kept = bytearray()
        heard.append(kept)
        try:
            while data := await reader.read(1 << 16):
                kept += data
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass  # one side hung up: that ends the conversation, which is all there is to do
        finally:
            writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(target.hostname, target.port)
        except ConnectionError:
            writer.close()
            return
        await asyncio.gather(pipe(reader, back, wiretap.upward), pipe(there, writer, wiretap.downward))

    async def serve() -> None:
        server = await asyncio.start_server(connect, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        wiretap.url = f"http://127.0.0.1:{port}"
        ready.set()
        await stop.wait()
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield wiretap
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
