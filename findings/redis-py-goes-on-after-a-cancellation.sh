#!/usr/bin/env bash
# On Python 3.11, a task that redis-py was cancelled in goes on for ever
#
# A task reads a stream in a loop, `while True: await client.xreadgroup(..., block=0)`, and is cancelled while the client sends (it
# still connects, say). The cancellation is lost: the command waits on, and `await task` never comes back. Commands are sent by
# `asyncio.wait_for`, which before Python 3.12 forgets a cancellation that comes in the same turn as its answer; reads go by
# `asyncio.timeout`, which does not. On Python 3.12 and 3.13 all are cancelled. Whoever must end looks at `task.cancelling()`
# after each command.
#
# Version: redis-py 8.1.0; seen on Python 3.11.7, not on 3.12.1 and 3.13.0.
# Source of the rule: Python, asyncio.Task.cancel: CancelledError is thrown into the coroutine; https://github.com/python/cpython/issues/86296.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q redis==8.1.0
cat > "$folder/try.py" <<'PYTHON'
import asyncio

import redis.asyncio as redis


async def serve(reader, writer):
    """Answers +OK to all but a read that blocks, to which there is nothing to say."""
    try:
        while line := await reader.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2])
            if words[0] != b"XREADGROUP":
                writer.write(b"+OK\r\n")
    except (ConnectionError, asyncio.IncompleteReadError):
        pass


async def work(client):
    while True:
        await client.xreadgroup("group", "consumer", {"stream": ">"}, block=0)


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ignored = []
    for turns in range(40):
        client = redis.Redis(port=port, host="127.0.0.1", protocol=2)
        task = asyncio.create_task(work(client))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait({task}, timeout=0.3)
        if not done:
            ignored.append(turns)
            task.cancel()
            await asyncio.wait({task})
        await client.aclose()
    assert ignored, "changed: each of 40 was cancelled"
    print(f"as seen: {len(ignored)} of 40 cancellations were lost")


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
