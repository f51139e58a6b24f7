#!/usr/bin/env bash
# httpx's async client can't look up a name while the event loop's default threads are busy, and its time-outs don't say so early
#
# `AsyncClient` resolves host names by the loop's `getaddrinfo`, which runs in asyncio's default executor. Whatever else is put there
# (`asyncio.to_thread`, `run_in_executor(None, ...)`) holds up every connection by name: a request to a server on this very machine
# waits for threads that it has nothing to do with, while one by address goes through at once.
#
# Version: httpx 0.28.1, anyio 4.11 or later, Python 3.11.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q httpx==0.28.1
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import os
import threading
import time

import httpx


async def answer(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()
    writer.close()


async def ask(url):
    begun = time.monotonic()
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        await client.get(url)
    return time.monotonic() - begun


async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    busy = threading.Event()
    threads = min(32, (os.cpu_count() or 1) + 4)
    work = [asyncio.create_task(asyncio.to_thread(busy.wait)) for _ in range(threads)]
    await asyncio.sleep(0.2)
    by_address = await ask(f"http://127.0.0.1:{port}/")
    named = asyncio.create_task(ask(f"http://localhost:{port}/"))
    await asyncio.sleep(3)
    waits = not named.done()
    busy.set()
    await asyncio.gather(*work)
    await named
    assert waits, "changed: the name was looked up meanwhile"
    print(f"as seen: by address {by_address:.2f} s; by name not within 3 s, until a thread was free")


asyncio.run(main())
PYTHON
