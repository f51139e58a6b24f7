"""A TCP proxy that keeps every byte that went through it, in both directions."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class Wiretap:
    """What was heard, and where to connect to be heard."""

    url: str = ""
    heard: bytearray = field(default_factory=bytearray)


@contextmanager
def tap(target_url: str) -> Iterator[Wiretap]:
    """A tap in front of `target_url`, in a thread of its own, until the block ends."""
    target = urlsplit(target_url)
    wiretap = Wiretap()
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1 << 16):
                wiretap.heard += data
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
        await asyncio.gather(pipe(reader, back), pipe(there, writer))

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
