"""The trigger `receive` against a real server: what is sent arrives in order, and is gone when it has settled."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from server.streams.stage_job import StageJob, add_door
from server.vocabulary import ServerProcess, wait_for

from agent.errors import AgentError, UsageError
from agent.job.stages.actions import receive
from agent.job.stages.asking import ServerPlace, StageServer
from agent.job.stages.stage import StageContext, StageError, StreamPosition

Servers = Callable[..., ServerProcess]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Heard:
    """An intake that writes down what it is given, and what was said."""

    def __init__(self, job: StageJob | None, path: str, url: str = "") -> None:
        self.batches: list[tuple[list[Any], StreamPosition]] = []
        self.said: list[str] = []
        self.changed = asyncio.Event()
        self.running: asyncio.Task[None]
        self.server = StageServer(ServerPlace(url or job.server.url, job.token)) if job is not None else None
        self.trigger = receive.make(
            StageContext(
                name="in",
                config={"path": path},
                uses="",
                bookmarks=None,  # type: ignore[arg-type]  # it has none
                server=self.server,
                workspace=Path(),
                scratch=Path(),
                say=self.said.append,
                warn=self.said.append,
                now=lambda: 0.0,
            )
        )

    async def emit(self, values: Sequence[Any], position: StreamPosition) -> None:
        self.batches.append((list(values), position))
        self.changed.set()

    def fail(self, raw: object, position: StreamPosition, error: StageError) -> None:
        raise AssertionError(error)

    async def __aenter__(self) -> Self:
        self.running = asyncio.create_task(self.trigger.run(self))
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])
        await self.close()

    async def close(self) -> None:
        await self.trigger.close()
        assert self.server is not None
        await self.server.close()

    @property
    def values(self) -> list[Any]:
        return [value for values, _ in self.batches for value in values]

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():
            self.changed.clear()
            async with asyncio.timeout(60):
                await self.changed.wait()


async def count_rows(server: ServerProcess) -> int:
    ((count,),) = await asyncio.to_thread(server.sql, "SELECT count(*) FROM queue_records")
    return int(count)


async def start(make_server: Servers, path: str) -> tuple[ServerProcess, str, StageJob]:
    """A server, where to send, and a job that receives there."""
    server = await asyncio.to_thread(make_server)
    url = await asyncio.to_thread(add_door, server, "Flow", path)
    return server, url, await asyncio.to_thread(StageJob, server, "Flow", path)


async def send(server: ServerProcess, url: str, *values: object) -> None:
    for value in values:
        answer = await asyncio.to_thread(server.http.post, url, content=json.dumps(value))
        assert answer.status_code == 202, answer.text


@pytest.mark.anyio
async def test_records_arrive_in_order_and_go_when_they_settle(make_server: Servers) -> None:
    server, url, job = await start(make_server, "/a/b")
    async with Heard(job, "a/b/") as heard:
        await send(server, url, *range(10), {"base64": "x"}, None)
        await heard.until(lambda: len(heard.values) == 12)
        assert heard.values == [*range(10), {"base64": "x"}, None]
        assert await count_rows(server) == 12
        positions = [position for _, position in heard.batches]
        await heard.trigger.settle(positions[0])
        assert await count_rows(server) == 12 - len(heard.batches[0][0])
        await asyncio.gather(heard.trigger.settle(positions[-1]), heard.trigger.settle(positions[-1]))
        assert await count_rows(server) == 0
    assert heard.said == []
    await asyncio.to_thread(job.agent.disconnect)


@pytest.mark.anyio
async def test_what_a_job_did_not_settle_comes_to_the_next_one(make_server: Servers) -> None:
    server, url, one = await start(make_server, "/next")
    async with Heard(one, "/next") as heard:
        await send(server, url, 1, 2, 3)
        await heard.until(lambda: len(heard.values) == 3)
    two = await asyncio.to_thread(StageJob, server, "Flow", "/next")
    async with Heard(two, "/next") as later:
        await asyncio.to_thread(one.end)
        await later.until(lambda: len(later.values) == 3)
        assert later.values == [1, 2, 3]
    await asyncio.to_thread(two.agent.disconnect)


@pytest.mark.anyio
async def test_a_server_that_is_away_is_waited_for_and_that_is_said_once(make_server: Servers) -> None:
    server, url, job = await start(make_server, "/away")
    async with Heard(job, "/away") as heard:
        await send(server, url, 1)
        await heard.until(lambda: heard.values == [1])
        server._settings["listen"] = server.url.removeprefix("http://")
        await asyncio.to_thread(server.kill)
        settling = asyncio.create_task(heard.trigger.settle(heard.batches[0][1]))
        await asyncio.to_thread(wait_for, lambda: heard.said)
        await asyncio.to_thread(server.start)
        await settling
        assert await count_rows(server) == 0
        await send(server, url, 2)
        await heard.until(lambda: heard.values == [1, 2])
    assert ["the server is away" in line for line in heard.said] == [True, False]
    assert heard.said[1] == "the server is back"
    await asyncio.to_thread(job.agent.disconnect)


@pytest.mark.anyio
async def test_a_job_that_is_refused_says_why(make_server: Servers) -> None:
    _, _, job = await start(make_server, "/mine")
    heard = Heard(job, "/theirs")
    with pytest.raises(AgentError, match="404: the job's flow does not receive there"):
        await heard.trigger.run(heard)
    await heard.close()
    await asyncio.to_thread(job.end)
    ended = Heard(job, "/mine")
    with pytest.raises(AgentError, match="401: the job of this token has ended"):
        await ended.trigger.run(ended)
    await ended.close()


def test_a_local_run_is_told_what_to_do_instead() -> None:
    with pytest.raises(UsageError, match="a local run has none"):
        Heard(None, "/x")
